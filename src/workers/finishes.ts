import { LEASE_LOST, sqlState, UNIQUE_VIOLATION } from '../sql-errors.js';
import type { LeaseRef, RecordedResults } from './record.sql.js';

/** A chunk of which nothing is left: its last results, and its end. */
export interface ChunkEnd {
  readonly ref: LeaseRef;
  readonly recorded: RecordedResults;
}

export interface FinishStatements {
  /** Ends them all in one commit, or none. */
  readonly all: (ends: readonly ChunkEnd[]) => Promise<void>;
  /** @throws LeaseLost and nothing has changed */
  readonly alone: (end: ChunkEnd) => Promise<void>;
}

interface Waiting extends ChunkEnd {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Queue {
  running: number;
  readonly waiting: Waiting[];
}

/** Statements of one job at once: while one waits for the disk at the job's row, the next one inserts. */
const AT_ONCE = 2;
/** Chunks, and characters of their results, in one statement at most. */
const CHUNKS_MAX = 32;
const CHARACTERS_MAX = 1024 * 1024;

/**
 * Ends chunks. All of one job meet at its row, which a commit holds until it is on disk: so those that come while the job has
 * two statements under way end in one, the next. Chunks of ten tasks, as those of a small job, are then as cheap as large ones.
 */
export class Finishes {
  readonly #queues = new Map<string, Queue>();

  constructor(private readonly statements: FinishStatements) {}

  /** @throws LeaseLost and nothing has changed */
  add(end: ChunkEnd): Promise<void> {
    const { jobId } = end.ref;
    const queue = this.#queues.get(jobId) ?? { running: 0, waiting: [] };
    this.#queues.set(jobId, queue);
    return new Promise((resolve, reject) => {
      queue.waiting.push({ ...end, resolve, reject });
      if (queue.running < AT_ONCE) this.#next(jobId, queue);
    });
  }

  #next(jobId: string, queue: Queue): void {
    const ends = takeSome(queue.waiting);
    if (ends.length === 0) {
      if (queue.running === 0) this.#queues.delete(jobId);
      return;
    }
    queue.running += 1;
    void this.#send(ends).finally(() => {
      queue.running -= 1;
      this.#next(jobId, queue);
    });
  }

  /** Never fails: each end hears for itself. */
  async #send(ends: readonly Waiting[]): Promise<void> {
    const [only] = ends;
    if (only && ends.length === 1) return this.#sendAlone(only);
    try {
      await this.statements.all(ends);
    } catch (error) {
      // One of them is to blame, which is for each to find out.
      if ([LEASE_LOST, UNIQUE_VIOLATION].includes(sqlState(error) ?? ''))
        await Promise.all(ends.map((end) => this.#sendAlone(end)));
      else for (const { reject } of ends) reject(error);
      return;
    }
    for (const { resolve } of ends) resolve();
  }

  #sendAlone(end: Waiting): Promise<void> {
    return this.statements.alone(end).then(end.resolve, end.reject);
  }
}

/** Takes out what may go in one statement: tasks with as many attempts. */
function takeSome(waiting: Waiting[]): Waiting[] {
  const attempts = waiting[0]?.recorded.attempts;
  let taken = 0;
  let characters = 0;
  for (const { recorded } of waiting) {
    characters += recorded.results.length + recorded.failures.length;
    const isOver = taken > 0 && (taken === CHUNKS_MAX || characters > CHARACTERS_MAX);
    if (isOver || recorded.attempts !== attempts) break;
    taken += 1;
  }
  return waiting.splice(0, taken);
}
