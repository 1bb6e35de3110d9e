import type { JobState } from '../../src/jobs/job.js';
import type { Suspicion } from '../../src/workers/suspicion.js';

/**
 * What the engine is, in a hundred lines of memory: jobs, the chunks of their tasks, and their results. The transitions are in
 * chunks.ts (what workers and the sweeper do) and control.ts (what people, the clock and the retention do). They say what
 * must be, in the words of docs/job-states.md, and know nothing of SQL.
 */

export interface Result {
  readonly success: boolean;
  /** JSON text, as are tasks. */
  readonly result: string;
  readonly attempts: number;
  readonly error: string | null;
  readonly task: string | null;
}

export type ChunkState = 'ready' | 'waiting' | 'leased' | 'parked';

/** The lease of a chunk. */
export interface Held {
  readonly leaseId: string;
  readonly worker: string;
  slots: number;
  isExpired: boolean;
  /** The lease does not end before this moment of Postgres's clock, in milliseconds. */
  endsAfterMs: number;
}

export interface Chunk extends Suspicion {
  /** As the database numbers it; null until the next look at it. */
  id: string | null;
  readonly positions: readonly number[];
  state: ChunkState;
  /** Of a waiting one: whether its time has come. */
  isDue: boolean;
  readonly attempt: number;
  recorded: number;
  suspect: boolean;
  crashes: number;
  survived: number;
  alone: boolean;
  held: Held | null;
}

export interface JobPlan {
  readonly ordered: boolean;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly maxFailures: number | null;
}

export interface Job extends JobPlan {
  /** For people to read: job 1 is the first of the walk. */
  readonly no: number;
  readonly id: string;
  /** Which of the walk's accounts. */
  readonly account: number;
  /** JSON text, by position. */
  readonly tasks: readonly string[];
  readonly retryOf: Job | null;
  status: JobState;
  message: string | null;
  version: number;
  paused: boolean;
  isStarted: boolean;
  deadline: 'none' | 'to come' | 'passed';
  /** Ended longer ago than jobs are kept. */
  isAged: boolean;
  /** Gone for everyone; what it has left may still be there. */
  isRemoved: boolean;
  chunks: Chunk[];
  readonly results: Map<number, Result>;
}

/** On whose behalf a write is: the chunk as the worker knows it, and its lease. */
export interface Ref {
  readonly jobId: string;
  readonly chunkId: bigint;
  readonly leaseId: string;
}

export class Model {
  /** Those that have left something, by age. */
  jobs: Job[] = [];
  /** Handlers' own writes: `{job number}:{position}`. */
  readonly written = new Set<string>();
  /** The process that has the duty of the retention. */
  duty: { readonly holder: string; isExpired: boolean } | null = null;
  #made = 0;

  constructor(
    readonly limits: {
      /** Tasks of an account that may run at once; null: any number. */
      readonly accountLimit: number | null;
      readonly maxWorkingJobs: number;
    },
  ) {}

  add(job: JobPlan & Pick<Job, 'id' | 'account' | 'tasks' | 'retryOf' | 'deadline' | 'chunks'>): Job {
    this.#made += 1;
    const made: Job = {
      ...job,
      no: this.#made,
      status: 'working',
      message: null,
      version: 1,
      paused: false,
      isStarted: false,
      isAged: false,
      isRemoved: false,
      results: new Map(),
    };
    this.jobs.push(made);
    return made;
  }

  /** Those that clients can see. */
  get kept(): Job[] {
    return this.jobs.filter((job) => !job.isRemoved);
  }

  working(account: number): Job[] {
    return this.kept.filter((job) => job.account === account && job.status === 'working');
  }

  /** All chunks, those of removed jobs too. */
  get chunks(): { readonly job: Job; readonly chunk: Chunk }[] {
    return this.jobs.flatMap((job) => job.chunks.map((chunk) => ({ job, chunk })));
  }

  /** What this lease is of; null when it is lost, whatever has become of the job. */
  heldBy(ref: Ref): { readonly job: Job; readonly chunk: Chunk; readonly held: Held } | null {
    const job = this.jobs.find(({ id }) => id === ref.jobId);
    const chunk = job?.chunks.find(({ id }) => id === String(ref.chunkId));
    return job && chunk?.held?.leaseId === ref.leaseId ? { job, chunk, held: chunk.held } : null;
  }

  /** Slots of the account that are taken. */
  busy(account: number): number {
    return this.chunks
      .filter(({ job }) => job.account === account)
      .reduce((slots, { chunk }) => slots + (chunk.held?.slots ?? 0), 0);
  }

  /** What the account's limit leaves. */
  left(account: number): number {
    return this.limits.accountLimit === null ? Infinity : this.limits.accountLimit - this.busy(account);
  }
}

export const failedOf = (job: Job): number => [...job.results.values()].filter((r) => !r.success).length;

export const isLone = (chunk: Pick<Chunk, 'suspect' | 'positions'>): boolean =>
  chunk.suspect && chunk.positions.length === 1;

export const newChunk = (positions: readonly number[], more: Partial<Chunk> = {}): Chunk => ({
  id: null,
  positions,
  state: 'ready',
  isDue: false,
  attempt: 0,
  recorded: 0,
  suspect: false,
  crashes: 0,
  survived: 0,
  alone: false,
  held: null,
  ...more,
});

/** Cuts a list in pieces of `size`, the last of which may be smaller. */
export function pieces<T>(all: readonly T[], size: number): T[][] {
  const cut: T[][] = [];
  for (let from = 0; from < all.length; from += size) cut.push(all.slice(from, from + size));
  return cut;
}

/** Ends a job that works. */
export function end(job: Job, status: 'completed' | 'failed' | 'killed', message: string): void {
  job.status = status;
  job.message = message;
}
