import { failed, succeeded, type TaskOutcome } from '../../src/jobs/task-handler.js';
import type { TaskType } from '../../src/jobs/task-types.js';
import { ChunkWork } from '../../src/workers/chunk.work.js';
import type { Lease } from '../../src/workers/lease.sql.js';
import { type Settlement, type PendingTask } from '../../src/workers/settlement.js';
import { CRASHES_MAX, LOSSES_MAX } from '../../src/workers/suspicion.js';
import { z } from 'zod';
import type { ChunkStore } from '../../src/workers/chunk.store.js';
import { positionsOf } from '../support/engine.js';
import type { Next, Records } from './chunks.js';
import { pieces, type Result } from './model.js';

export const TYPE: TaskType = {
  type: 'test.task',
  task: z.unknown(),
  handler: { run: () => succeeded(null) },
};

const DELAYS_SECONDS = [0, 3_600, 36_000];

/** What becomes of a task: three of five succeed. */
function outcomeFor(position: number, numbers: { readonly b: number; readonly c: number }, serial: number) {
  const roll = (numbers.c + 7 * position) % 5;
  if (roll < 3) return succeeded({ serial });
  if (roll === 3) return failed('Broken', `It broke ${serial}`);
  return failed('Broken', `It broke ${serial}`, {
    retryInSeconds: DELAYS_SECONDS[(numbers.b + position) % DELAYS_SECONDS.length]!,
  });
}

/**
 * A chunk in the hands of a worker: the engine's own ChunkWork, which decides what is written, beside what the model says
 * that it must decide.
 */
export class Hand {
  readonly work: ChunkWork;
  /** Tasks without an outcome, in the order in which they are begun. */
  open: number[];
  /** Tasks that were begun before a part was given back, and have not ended. */
  running: PendingTask[] = [];
  /** Waits by position, in seconds. */
  readonly retries = new Map<number, number>();
  /** Something was recorded: a suspect is cleared. */
  hasProgress = false;
  /** What a suspect needs before its tasks run has been done. */
  isCleared: boolean;
  /** Nothing else runs in the process, and the row says so. */
  isAlone = false;

  constructor(
    readonly lease: Lease,
    private readonly tasks: readonly string[],
    store: ChunkStore,
    leaseMs: number,
    recorded: ReadonlySet<number>,
  ) {
    this.work = new ChunkWork(lease, TYPE, store, leaseMs, recorded);
    this.open = positionsOf(lease).filter((position) => !recorded.has(position));
    this.isCleared = !lease.suspect;
  }

  get isLone(): boolean {
    return this.lease.suspect && this.lease.size === 1;
  }

  get isCondemned(): boolean {
    const { crashes, survived } = this.lease;
    return this.isLone && (crashes - survived >= CRASHES_MAX || crashes >= LOSSES_MAX);
  }

  /** Begins `count` tasks, those that run already before others. */
  begin(count: number): PendingTask[] {
    const begun = this.running.splice(0, count);
    while (begun.length < count) begun.push(this.work.next()!);
    return begun;
  }

  /** Gives `count` tasks an outcome each. @returns what must be recorded */
  settle(
    count: number,
    numbers: { readonly b: number; readonly c: number },
    serial: () => number,
    settlement: Settlement = this.work.settlement,
  ): Map<number, Result> {
    const results = new Map<number, Result>();
    for (const task of this.begin(count)) {
      const outcome = outcomeFor(task.position, numbers, serial());
      settlement.settle(task, outcome);
      const result = this.#resultOf(task.position, outcome);
      if (result) results.set(task.position, result);
      else if (!outcome.success) this.retries.set(task.position, outcome.retryInSeconds!);
      this.open = this.open.filter((position) => position !== task.position);
    }
    return results;
  }

  /** @returns null: the task is tried again */
  #resultOf(position: number, outcome: TaskOutcome): Result | null {
    const attempts = this.lease.attempt + 1;
    if (outcome.success)
      return { success: true, result: JSON.stringify(outcome.result), attempts, error: null, task: null };
    if (outcome.retry && attempts < this.lease.maxAttempts) return null;
    return this.failure(position, outcome.error, outcome.sentence);
  }

  failure(position: number, error: string, sentence: string): Result {
    const result = JSON.stringify({ errors: sentence, success: false, status: 'Failed' });
    return { success: false, result, attempts: this.lease.attempt + 1, error, task: this.tasks[position]! };
  }

  /** Where tasks must go that are handed back. A suspect of which nothing was recorded stays one. */
  nextOf(positions: readonly number[], parts: number, hasProgress: boolean): Next[] {
    const { attempt, suspect, crashes, survived } = this.lease;
    const sorted = [...positions].sort((a, b) => a - b);
    const stays = suspect && !hasProgress;
    const blame = stays && this.isLone ? { crashes, survived } : { crashes: 0, survived: 0 };
    return pieces(sorted, Math.ceil(sorted.length / parts)).map((part) => ({
      positions: part,
      attempt,
      suspect: stays,
      ...blame,
      delayed: false,
    }));
  }

  /** Where the retries must go: those that wait as long share a chunk. */
  takeNextOfRetries(): Next[] {
    const waits = [...new Set(this.retries.values())];
    const next = waits.map((seconds) => ({
      positions: [...this.retries.keys()]
        .filter((position) => this.retries.get(position) === seconds)
        .sort((a, b) => a - b),
      attempt: this.lease.attempt + 1,
      suspect: false,
      crashes: 0,
      survived: 0,
      delayed: seconds > 0,
    }));
    this.retries.clear();
    return next;
  }

  noteProgress({ results }: Records): void {
    if (results.size > 0) this.hasProgress = true;
  }
}
