import { v7 as uuidv7 } from 'uuid';

/** What a job is, in pure functions: ids, limits and how its tasks are cut into chunks. */

export const JOB_STATES = ['working', 'completed', 'failed', 'killed'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** How far the request to a job's callback_url has come; `pending` from the submission on. */
export const CALLBACK_STATES = ['pending', 'delivered', 'failed'] as const;
export type CallbackState = (typeof CALLBACK_STATES)[number];

/** Tasks in a chunk, at most. At 1,000 the job row is written a tenth as often as at 100: three times the rate. */
export const MAX_CHUNK_TASKS = 1_000;
/** Below this, a chunk's own cost (insert, claim, finish) outweighs what a finer spread over workers would bring. */
export const MIN_CHUNK_TASKS = 10;
/** A job of up to so many tasks is cut into so many chunks. */
export const SMALL_JOB = 1_000;
export const FEWEST_CHUNKS = 4;
/** Bytes of a chunk's tasks, at most (a single larger task cannot be: MAX_TASK_BYTES). */
export const MAX_CHUNK_BYTES = 1024 * 1024;

/** Bytes of a task's result as JSON, at most; a larger one fails its task. */
export const MAX_RESULT_BYTES = 64 * 1024;
/** Levels of arrays and objects in a task or a result, at most: Postgres's own JSON parser is recursive. */
export const MAX_JSON_DEPTH = 100;
/** Characters of a job's message that are kept. */
export const MAX_MESSAGE_LENGTH = 1_000;

/** A new job id as Postgres writes it (UUIDv7, RFC 9562: ids sort by the time they were made). */
export const newJobId = (): string => uuidv7();

/** The id as the API shows it: 32 lower-case hex digits. */
export const printJobId = (id: string): string => id.replaceAll('-', '');

/** The id as Postgres writes it, or null when the text is no id. Accepts it with and without dashes. */
export function parseJobId(text: string): string | null {
  const hex = text.toLowerCase();
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(hex)) return hex;
  if (!/^[0-9a-f]{32}$/.test(hex)) return null;
  const part = (from: number, to: number) => hex.slice(from, to);
  return `${part(0, 8)}-${part(8, 12)}-${part(12, 16)}-${part(16, 20)}-${part(20, 32)}`;
}

/** A run of tasks at consecutive positions. */
export interface PlannedChunk {
  readonly firstPosition: number;
  readonly size: number;
  /** A JSON array, a task a position. */
  readonly tasks: string;
}

/**
 * Tasks a chunk should have in a job of `total`: a quarter of them up to 1,000; beyond that chunks and tasks of a chunk grow alike,
 * with the root, until these are as many as they may be, in jobs of 16,000. Each chunk costs as much as a hundred tasks that do
 * nothing: a job of 1,000 in chunks of ten cost twice as much as in ten chunks, and those a seventh more than four. Few chunks keep
 * nobody waiting: a worker whose tasks take long gives the rest of its chunk back.
 */
export const chunkSize = (total: number): number => {
  const size =
    total <= SMALL_JOB ? total / FEWEST_CHUNKS : (SMALL_JOB / FEWEST_CHUNKS) * Math.sqrt(total / SMALL_JOB);
  return Math.min(MAX_CHUNK_TASKS, Math.max(MIN_CHUNK_TASKS, Math.ceil(size)));
};

/**
 * Cuts a job's tasks into chunks of at most `chunkSize(total)` tasks and 1 MiB.
 * @param tasks each task as JSON text, in order
 */
export function planChunks(tasks: readonly string[]): PlannedChunk[] {
  const size = chunkSize(tasks.length);
  const chunks: PlannedChunk[] = [];
  let first = 0;
  let bytes = 0;
  for (let position = 0; position <= tasks.length; position += 1) {
    const taskBytes = position < tasks.length ? Buffer.byteLength(tasks[position] ?? '') + 1 : 0;
    const full = position - first === size || bytes + taskBytes > MAX_CHUNK_BYTES;
    if (position > first && (full || position === tasks.length)) {
      const tasksText = `[${tasks.slice(first, position).join(',')}]`;
      chunks.push({ firstPosition: first, size: position - first, tasks: tasksText });
      first = position;
      bytes = 0;
    }
    bytes += taskBytes;
  }
  return chunks;
}
