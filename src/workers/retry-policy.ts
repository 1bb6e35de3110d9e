import type { Successor } from './record.sql.js';
import { UNSUSPECTED } from './suspicion.js';

/** When a failed task is tried again: pure functions. */

const BASE_MS = 1_000;
const MAX_MS = 10 * 60 * 1_000;
const RETRY_IN_MAX_MS = 24 * 60 * 60 * 1_000;
/** Retries whose times differ by less than a quarter share a chunk: 1,000 jittered retries become a handful of rows. */
const BUCKET_RATIO = 1.25;
const CHUNK_TASKS_MAX = 1_000;
const CHUNK_BYTES_MAX = 1024 * 1024;

/**
 * Exponential backoff with jitter ("Exponential Backoff And Jitter", AWS Architecture Blog 2015, the "equal" variant):
 * half of the delay is certain, the other half random.
 * @param failures how often the task has failed, this time included
 * @param random in [0, 1)
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: number): number {
  const whole = Math.min(MAX_MS, BASE_MS * 2 ** (failures - 1));
  return Math.round(whole / 2 + (whole / 2) * random);
}

/** What the handler asked for, kept within a day. @returns milliseconds */
export const requestedDelayMs = (seconds: number): number =>
  Number.isFinite(seconds) ? Math.min(RETRY_IN_MAX_MS, Math.max(0, Math.round(seconds * 1_000))) : BASE_MS;

export interface Retry {
  readonly position: number;
  readonly task: unknown;
  readonly delayMs: number;
}

/**
 * Puts the retries of one chunk into few chunks, each of tasks whose times are close. None starts earlier than its
 * own delay.
 * @param attempt how often all of these tasks have failed now
 */
export function retryChunks(retries: readonly Retry[], attempt: number): Successor[] {
  const latestFirst = [...retries].sort((a, b) => b.delayMs - a.delayMs);
  const chunks: Successor[] = [];
  let group: Retry[] = [];
  let bytes = 0;
  const close = () => {
    if (group.length === 0) return;
    const byPosition = group.sort((a, b) => a.position - b.position);
    chunks.push({
      positions: byPosition.map((retry) => retry.position),
      tasks: byPosition.map((retry) => retry.task),
      attempt,
      ...UNSUSPECTED,
      delayMs: Math.max(...group.map((retry) => retry.delayMs)),
    });
    group = [];
    bytes = 0;
  };
  for (const retry of latestFirst) {
    const size = JSON.stringify(retry.task).length;
    const latest = group[0]?.delayMs ?? retry.delayMs;
    const isFar = latest > retry.delayMs * BUCKET_RATIO;
    if (isFar || group.length === CHUNK_TASKS_MAX || bytes + size > CHUNK_BYTES_MAX) close();
    group.push(retry);
    bytes += size;
  }
  close();
  return chunks;
}
