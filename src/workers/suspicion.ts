/**
 * Whom a crash is blamed on: pure rules. A chunk whose lease ran out is a suspect. Whoever claims it next splits it, so that
 * after a few crashes the task at fault stands alone; from then on it runs with nothing else in its process, and only
 * what happens then counts against it. What is recorded clears the chunk.
 *
 * A task that kills its process each time does so once for each split, and CRASHES_MAX times alone: 7 times where its chunk
 * had 100 tasks, 8 times of 1,000. An innocent task would have to be hit by that many kills one after the other, each time
 * before anything of its chunk is recorded, the last three while nothing but it runs. Where workers live for half a second
 * that happens: of two that were killed 200 times, it happened to one task in most simulated runs. So all blame is taken back
 * when a worker is lost that ran no task alone, and when a task that was blamed ends well: both mean that workers are lost
 * for other reasons, and what happened so far proves nothing. Between the first and the third crash of a task lie two
 * leases at least, and in that time none of this may be seen. A task that crashes always has its failure anyway,
 * after LOSSES_MAX times.
 */

/** What is known of a chunk whose lease has run out. */
export interface Suspicion {
  readonly suspect: boolean;
  /** Times that the lease ran out while this one task was all that its process ran. */
  readonly crashes: number;
  /**
   * Of these, times that prove nothing: the process turned out to be alive (stopped, busy, or cut off from the database), or
   * others were lost for another reason.
   */
  readonly survived: number;
}

export const UNSUSPECTED: Suspicion = { suspect: false, crashes: 0, survived: 0 };

/** Crashes alone after which a task has its failure. */
export const CRASHES_MAX = 3;
/** Leases lost alone, for whatever reason, after which it has it too: such a task would else run for ever. */
export const LOSSES_MAX = 10;
/** Parts of a suspect. Quarters need half as many crashes as halves, each of which costs a lease and a start. */
const PARTS = 4;

type Suspect = Suspicion & { readonly size: number };

/** Must run with nothing else in its process. */
export const isLone = (chunk: Suspect): boolean => chunk.suspect && chunk.size === 1;

/** Crashes that count against it. */
export const blameOf = (chunk: Suspicion): number => chunk.crashes - chunk.survived;

/** Is not run any more. */
export const isCondemned = (chunk: Suspect): boolean =>
  isLone(chunk) && (blameOf(chunk) >= CRASHES_MAX || chunk.crashes >= LOSSES_MAX);

/** Cuts what is open of a suspect of many tasks, keeping its order. */
export function partsOf<T>(tasks: readonly T[]): T[][] {
  const size = Math.ceil(tasks.length / PARTS);
  const parts: T[][] = [];
  for (let from = 0; from < tasks.length; from += size) parts.push(tasks.slice(from, from + size));
  return parts;
}
