import {
  end,
  failedOf,
  isLone,
  newChunk,
  pieces,
  type Chunk,
  type Held,
  type Job,
  type Model,
} from './model.js';
import type { Ref, Result } from './model.js';

/** What workers and the sweeper do to chunks. Each says what must come of it. */

/** Whether a worker may have it, limits aside; of a job with an order only the first chunk there is. */
const isClaimable = (job: Job, chunk: Chunk): boolean =>
  chunk.state === 'ready' &&
  !job.isRemoved &&
  job.status === 'working' &&
  !job.paused &&
  (!job.ordered || job.chunks.every(({ positions }) => chunk.positions[0]! <= positions[0]!));

/** What an account may be given now, in the order in which it must be: priority, then age of the job, then position. */
export function claimable(model: Model, account: number): { readonly job: Job; readonly chunk: Chunk }[] {
  return model.chunks
    .filter(({ job, chunk }) => job.account === account && isClaimable(job, chunk) && !isLone(chunk))
    .sort(
      (a, b) =>
        b.job.priority - a.job.priority ||
        a.job.no - b.job.no ||
        a.chunk.positions[0]! - b.chunk.positions[0]!,
    );
}

/** Whether suspects of one task wait, whosever they are. */
export const hasSuspects = (model: Model): boolean =>
  model.chunks.some(({ chunk }) => chunk.state === 'ready' && isLone(chunk));

/** The suspect of one task that goes next: of the oldest job. */
export function nextSuspect(model: Model): { readonly job: Job; readonly chunk: Chunk } | null {
  const free = model.chunks
    .filter(({ job, chunk }) => isClaimable(job, chunk) && isLone(chunk) && model.left(job.account) > 0)
    .sort((a, b) => a.job.no - b.job.no || a.chunk.positions[0]! - b.chunk.positions[0]!);
  return free[0] ?? null;
}

export function lease(chunk: Chunk, held: Omit<Held, 'isExpired'>, alone = false): void {
  chunk.state = 'leased';
  chunk.held = { ...held, isExpired: false };
  chunk.alone = alone;
}

function giveUp(chunk: Chunk): void {
  chunk.state = 'ready';
  chunk.held = null;
  chunk.alone = false;
}

export interface Records {
  readonly results: ReadonlyMap<number, Result>;
  readonly message: string | null;
}

/** What a write on behalf of a lease must come to. */
export type Recorded = 'recorded' | 'LeaseLost';

/** The lease is held, and the job works: else nothing may be written. */
function writable(model: Model, ref: Ref) {
  const found = model.heldBy(ref);
  return found && !found.job.isRemoved && found.job.status === 'working' ? found : null;
}

/** Adds what is new, and ends the job where that is due. @returns results added */
function advance(job: Job, { results, message }: Records): number {
  let added = 0;
  for (const [position, result] of results) {
    if (job.results.has(position)) continue;
    job.results.set(position, result);
    added += 1;
  }
  job.version += 1;
  job.isStarted = true;
  job.message = message ?? job.message;
  if (job.maxFailures !== null && failedOf(job) > job.maxFailures)
    end(job, 'failed', `Failed at T: more than ${job.maxFailures} tasks failed`);
  else if (job.results.size === job.tasks.length) end(job, 'completed', 'Completed at T');
  return added;
}

/** Adds results and extends the lease. @param endsAfterMs what the lease is extended to, at least */
export function flush(model: Model, ref: Ref, records: Records, endsAfterMs: number): Recorded {
  const found = writable(model, ref);
  if (!found) return 'LeaseLost';
  const { job, chunk, held } = found;
  const added = advance(job, records);
  chunk.recorded += added;
  if (added > 0) chunk.suspect = false;
  held.isExpired = false;
  held.endsAfterMs = endsAfterMs;
  return 'recorded';
}

/** Where tasks go when their chunk ends. */
export interface Next extends Pick<Chunk, 'positions' | 'attempt' | 'suspect' | 'crashes' | 'survived'> {
  readonly delayed: boolean;
  readonly keepsLease?: boolean;
}

/** Records the last results of a chunk and puts the rest into others. */
export function finish(model: Model, ref: Ref, records: Records, rest: readonly Next[]): Recorded {
  const found = writable(model, ref);
  if (!found) return 'LeaseLost';
  const { job, chunk, held } = found;
  job.chunks = job.chunks.filter((other) => other !== chunk);
  for (const { delayed, keepsLease = false, ...next } of rest) {
    // What was taken back meanwhile is not blamed again by a worker that has not heard of it.
    const survived = Math.max(next.survived, Math.min(next.crashes, chunk.survived));
    const fresh = newChunk(next.positions, { ...next, survived, state: delayed ? 'waiting' : 'ready' });
    job.chunks.push(fresh);
    if (!keepsLease) continue;
    fresh.state = 'leased';
    fresh.held = { ...held, slots: Math.min(held.slots, next.positions.length) };
    fresh.alone = chunk.alone && isLone(fresh);
  }
  advance(job, records);
  return 'recorded';
}

/** Parts of a suspect of many tasks; the first stays with the lease, unless it is a single task. */
export function split(chunk: Pick<Chunk, 'attempt'>, open: readonly number[]): Next[] {
  return pieces(open, Math.ceil(open.length / 4)).map((positions, at) => ({
    positions,
    attempt: chunk.attempt,
    suspect: true,
    crashes: 0,
    survived: 0,
    delayed: false,
    keepsLease: at === 0 && positions.length > 1,
  }));
}

/** Takes chunks from workers that have gone silent. @returns how many */
export function rescue(model: Model): number {
  const lost = model.chunks.filter(({ chunk }) => chunk.held?.isExpired);
  const alone = new Set(lost.filter(({ chunk }) => chunk.alone).map(({ chunk }) => chunk.held!.worker));
  const isStorm = lost.some(({ chunk }) => !alone.has(chunk.held!.worker));
  for (const { chunk } of lost) {
    if (chunk.alone) chunk.crashes += 1;
    chunk.suspect = true;
    giveUp(chunk);
  }
  // A worker that ran no task alone is lost as well: no task is to blame.
  if (isStorm) pardon(model);
  return lost.length;
}

/** Takes all blame back from what waits or runs alone. */
export function pardon(model: Model): void {
  for (const { chunk } of model.chunks)
    if (chunk.state === 'ready' || chunk.state === 'leased') chunk.survived = chunk.crashes;
}

/** Makes ready what has waited. @returns how many chunks */
export function promote(model: Model): number {
  const due = model.chunks.filter(({ chunk }) => chunk.state === 'waiting' && chunk.isDue);
  for (const { chunk } of due) chunk.state = 'ready';
  return due.length;
}

/** From now on only this task runs in its process. */
export function isolate(model: Model, ref: Ref): Recorded {
  const found = model.heldBy(ref);
  if (!found) return 'LeaseLost';
  found.chunk.alone = true;
  return 'recorded';
}

/** The process that ran a task alone has lost it, but lives. */
export function survive(model: Model, ref: Ref): void {
  const found = model.heldBy(ref);
  if (found?.chunk.alone) {
    found.chunk.crashes += 1;
    found.chunk.survived += 1;
    giveUp(found.chunk);
    return;
  }
  const job = model.jobs.find(({ id }) => id === ref.jobId);
  const chunk = job?.chunks.find(({ id }) => id === String(ref.chunkId));
  if (!found && chunk && isLone(chunk) && chunk.survived < chunk.crashes) chunk.survived += 1;
}

/** The heartbeat: also of a job that is over, until somebody takes its chunks. */
export function extend(model: Model, refs: readonly Ref[], endsAfterMs: number): void {
  for (const ref of refs) {
    const held = model.heldBy(ref)?.held;
    if (!held) continue;
    held.isExpired = false;
    held.endsAfterMs = endsAfterMs;
  }
}
