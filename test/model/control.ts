import { end, newChunk, pieces, type Chunk, type Job, type Model } from './model.js';

/** What people, the clock and the retention do to jobs. Each says what must come of it: an outcome, or the error's word. */

export type Controlled = 'done' | 'RecordNotFound' | 'JobFinished' | 'JobWorking';

export function kill(job: Job): Controlled {
  if (job.isRemoved) return 'RecordNotFound';
  if (job.status === 'killed') return 'done';
  if (job.status !== 'working') return 'JobFinished';
  end(job, 'killed', 'Killed at T');
  job.version += 1;
  return 'done';
}

export function pause(job: Job, paused: boolean): Controlled {
  if (job.isRemoved) return 'RecordNotFound';
  if (job.status !== 'working') return 'JobFinished';
  if (job.paused !== paused) job.version += 1;
  job.paused = paused;
  if (!paused) unpark([job]);
  return 'done';
}

/** Takes out of the ready set what may not run, and from workers what is over. @returns chunks parked */
export function park(jobs: readonly Job[], isOne: boolean): number {
  let parked = 0;
  for (const job of jobs) {
    // A sweep does not look at what has been over for long.
    if (job.isRemoved || (!isOne && job.isAged)) continue;
    for (const chunk of job.chunks) {
      const isOver = job.status !== 'working' && chunk.state !== 'parked';
      if (!isOver && !(job.paused && chunk.state === 'ready')) continue;
      chunk.state = 'parked';
      chunk.held = null;
      chunk.alone = false;
      parked += 1;
    }
  }
  return parked;
}

/** Puts back what runs again. @returns chunks made ready */
export function unpark(jobs: readonly Job[]): number {
  let ready = 0;
  for (const job of jobs) {
    if (job.isRemoved || job.status !== 'working' || job.paused) continue;
    for (const chunk of job.chunks) {
      if (chunk.state !== 'parked') continue;
      chunk.state = 'ready';
      ready += 1;
    }
  }
  return ready;
}

/** Ends the jobs whose deadline has passed. @returns them */
export function failOverdue(model: Model): Job[] {
  const overdue = model.kept.filter((job) => job.status === 'working' && job.deadline === 'passed');
  for (const job of overdue) {
    end(job, 'failed', 'Failed at T: the deadline has passed');
    job.version += 1;
  }
  return overdue;
}

export type Retried = Controlled | 'NothingToRetry' | 'TooManyJobs' | { readonly job: Job };

/** A retry that is not there yet gets this id. */
export function retry(model: Model, job: Job, id: string): Retried {
  if (job.isRemoved) return 'RecordNotFound';
  if (job.status === 'working') return 'JobWorking';
  const tasks = job.tasks.filter((_, position) => job.results.get(position)?.success !== true);
  if (tasks.length === 0) return 'NothingToRetry';
  const first = model.kept.find(({ retryOf }) => retryOf === job);
  if (first) return { job: first };
  if (model.working(job.account).length >= model.limits.maxWorkingJobs) return 'TooManyJobs';
  const { account, ordered, priority, maxAttempts, maxFailures } = job;
  // The smallest chunk that the database makes has ten tasks, and so have all of a job of up to a thousand.
  const chunks = pieces([...tasks.keys()], 10).map((positions) => newChunk(positions));
  const plan = { account, ordered, priority, maxAttempts, maxFailures };
  return { job: model.add({ ...plan, id, tasks, retryOf: job, deadline: 'none', chunks }) };
}

export function remove(job: Job): Controlled {
  if (job.isRemoved) return 'RecordNotFound';
  if (job.status === 'working') return 'JobWorking';
  job.isRemoved = true;
  return 'done';
}

/** @returns whether the duty of the retention is this process's now */
export function takeDuty(model: Model, holder: string): boolean {
  if (model.duty && model.duty.holder !== holder && !model.duty.isExpired) return false;
  model.duty = { holder, isExpired: false };
  return true;
}

export const isOnDuty = (model: Model, holder: string): boolean =>
  model.duty?.holder === holder && !model.duty.isExpired;

export const isRetentionWanted = (model: Model, holder: string): boolean =>
  model.jobs.some((job) => job.isRemoved || job.isAged) &&
  (model.duty === null || model.duty.holder === holder || model.duty.isExpired);

/** Removes what has been over for so long. @returns how many */
export function expire(model: Model, holder: string): number {
  const old = isOnDuty(model, holder) ? model.kept.filter((job) => job.isAged) : [];
  for (const job of old) job.isRemoved = true;
  return old.length;
}

/** Chunks that one step of the purge removes, at most. */
const CHUNKS_AT_ONCE = 16;

/**
 * Removes some of what removed jobs have left: results, then chunks, then the note of them.
 * @param isThere which chunks are still there afterwards: of more than a step takes, the engine is free to choose
 */
export function purge(model: Model, holder: string, isThere: (job: Job, chunk: Chunk) => boolean): boolean {
  const removed = isOnDuty(model, holder) ? model.jobs.filter((job) => job.isRemoved) : [];
  if (removed.some((job) => job.results.size > 0)) {
    for (const job of removed) job.results.clear();
    return true;
  }
  const chunks = removed.flatMap((job) => job.chunks);
  if (chunks.length > 0) {
    for (const job of removed)
      job.chunks = job.chunks.filter((chunk) => chunks.length > CHUNKS_AT_ONCE && isThere(job, chunk));
    const left = removed.reduce((sum, job) => sum + job.chunks.length, 0);
    if (left !== Math.max(0, chunks.length - CHUNKS_AT_ONCE))
      throw new Error(
        `expected the purge to remove ${CHUNKS_AT_ONCE} of ${chunks.length} chunks, ${left} are left`,
      );
    return true;
  }
  model.jobs = model.jobs.filter((job) => !removed.includes(job));
  return removed.length > 0;
}
