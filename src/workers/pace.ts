import { tasksRan } from '../happenings.js';

/** What a worker holds at once is as much as it can run within this. */
const READ_AHEAD_MS = 100;
/** A task never counts as less than this share of a place, so that the work held stays bounded whatever is measured. */
const SHARE_MIN = 1 / 400;
const FALL = 0.3;

/**
 * How long a type's tasks take, so that quick ones are claimed ahead of the places they will run on. Without that a
 * worker with 20 places would hold one chunk of no-ops at a time and wait for the database in between: a fifth of the rate.
 * A type that has not been seen, or is slow, is claimed strictly: no more tasks than there are places.
 */
export class Pace {
  readonly #msPerTask = new Map<string, number>();

  /** Rises at once, falls slowly: to hold too much of slow work keeps it from other workers. */
  learn(type: string, tasks: number, totalMs: number): void {
    if (tasks === 0) return;
    tasksRan.tell({ type, tasks, seconds: totalMs / 1_000 });
    const measured = totalMs / tasks;
    const known = this.#msPerTask.get(type) ?? measured;
    this.#msPerTask.set(type, measured >= known ? measured : known + (measured - known) * FALL);
  }

  /** The share of a place, from 1/400 to 1, that a task of this type counts for while it is held. */
  shareOf(type: string): number {
    const msPerTask = this.#msPerTask.get(type);
    if (msPerTask === undefined) return 1;
    return Math.min(1, Math.max(SHARE_MIN, msPerTask / READ_AHEAD_MS));
  }
}
