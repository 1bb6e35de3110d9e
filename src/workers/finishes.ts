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
  readonly jobId: string;
  running: number;
  readonly waiting: Waiting[];
}

/** Statements of one job at once: while one waits for the disk at the job's row, the next one inserts. */
const OF_JOB = 2;
/**
 * Statements at once in which jobs come together that have none under way; the second begins when it is worth it, or the first one
 * takes its time: it may wait for a row that somebody holds.
 */
const TOGETHER = 2;
const WORTH_IT = 8;
const MUCH = 64 * 1024;
const PATIENCE_MS = 5;
/** Chunks, and characters of their results, in one statement at most. */
const CHUNKS_MAX = 32;
const CHARACTERS_MAX = 1024 * 1024;
/**
 * Chunks that are about to begin may end at once: what has ended waits for them, so long and while it is so little. Of a job of
 * 34 small chunks, five went alone before the rest was sent together.
 */
const GATHER_MS = 5;
const LITTLE = 128 * 1024;

/**
 * Ends chunks. All of one job meet at its row, which a commit holds until it is on disk: so those that come while the job has
 * two statements under way end in one, the next. And what small jobs cost is their commits: so jobs of which a chunk ends while two
 * statements are under way end theirs in one, the next. Chunks of ten tasks are then as cheap as large ones.
 *
 * A job that has a statement under way is in none with other jobs: such a one waits for no job's row.
 */
export class Finishes {
  readonly #queues = new Map<string, Queue>();
  /** Those that have something waiting and nothing under way, in their order. */
  readonly #idle = new Set<Queue>();
  /** Those to which something was added that nobody has looked at yet, and how much. */
  readonly #fresh = new Set<Queue>();
  #freshCharacters = 0;
  #together = 0;
  #isPatient = false;
  #isGathering = false;

  /** @param toBegin how many chunks are about to begin */
  constructor(
    private readonly statements: FinishStatements,
    private readonly toBegin: () => number,
  ) {}

  /** @throws LeaseLost and nothing has changed */
  add(end: ChunkEnd): Promise<void> {
    const { jobId } = end.ref;
    const queue = this.#queues.get(jobId) ?? { jobId, running: 0, waiting: [] };
    this.#queues.set(jobId, queue);
    return new Promise((resolve, reject) => {
      queue.waiting.push({ ...end, resolve, reject });
      this.#fresh.add(queue);
      this.#freshCharacters += charactersOf(end.recorded);
      if (this.#mayGrow) this.#gather();
      else this.#takeFresh();
    });
  }

  get #mayGrow(): boolean {
    return this.#freshCharacters < LITTLE && this.toBegin() > 0;
  }

  #gather(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    const untilMs = performance.now() + GATHER_MS;
    const look = (): void => {
      if (this.#mayGrow && performance.now() < untilMs) {
        setImmediate(look);
        return;
      }
      this.#isGathering = false;
      this.#takeFresh();
    };
    setImmediate(look);
  }

  #takeFresh(): void {
    // Of those of which another statement has taken all meanwhile there is nothing to be begun.
    for (const queue of this.#fresh) if (queue.waiting.length > 0) this.#next(queue);
    this.#fresh.clear();
    this.#freshCharacters = 0;
    this.#nextTogether();
  }

  /** What has ended of one job that has a statement under way already, or joins the others. */
  #next(queue: Queue): void {
    if (queue.waiting.length === 0) {
      if (queue.running === 0) this.#queues.delete(queue.jobId);
    } else if (queue.running === 0) this.#idle.add(queue);
    else if (queue.running < OF_JOB) this.#begin([queue], takeSome([queue]));
  }

  #nextTogether(isPatient = true): void {
    while (this.#together < TOGETHER && this.#idle.size > 0) {
      if (isPatient && this.#together > 0 && !this.#isWorthIt) {
        this.#bePatient();
        return;
      }
      const queues = [...this.#idle];
      const ends = takeSome(queues);
      const jobs = new Set(ends.map(({ ref }) => ref.jobId));
      this.#together += 1;
      this.#begin(
        queues.filter(({ jobId }) => jobs.has(jobId)),
        ends,
        () => (this.#together -= 1),
      );
    }
  }

  /** Whether what waits is worth a second statement: many jobs, or much. */
  get #isWorthIt(): boolean {
    if (this.#idle.size >= WORTH_IT) return true;
    let characters = 0;
    for (const { waiting } of this.#idle)
      for (const { recorded } of waiting) characters += charactersOf(recorded);
    return characters >= MUCH;
  }

  #bePatient(): void {
    if (this.#isPatient) return;
    this.#isPatient = true;
    setTimeout(() => {
      this.#isPatient = false;
      this.#nextTogether(false);
    }, PATIENCE_MS);
  }

  #begin(queues: readonly Queue[], ends: readonly Waiting[], over?: () => void): void {
    // Behind a statement of several jobs, which waits for no row, none of theirs may come to be ahead of it.
    const places = queues.length > 1 ? OF_JOB : 1;
    for (const queue of queues) {
      queue.running += places;
      this.#idle.delete(queue);
    }
    void this.#send(ends).finally(() => {
      over?.();
      for (const queue of queues) {
        queue.running -= places;
        this.#next(queue);
      }
      this.#nextTogether();
    });
    // What is left of a job may go at once, behind this.
    for (const queue of queues) this.#next(queue);
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

const charactersOf = ({ results, failures }: RecordedResults): number => results.length + failures.length;

/** Takes out what may go in one statement, the first of all among it: tasks with as many attempts. */
function takeSome(queues: readonly Queue[]): Waiting[] {
  const some: Waiting[] = [];
  let characters = 0;
  for (const { waiting } of queues) {
    let taken = 0;
    for (const { recorded } of waiting) {
      if (recorded.attempts !== (some[0] ?? waiting[0])?.recorded.attempts) break;
      characters += charactersOf(recorded);
      const isOver = some.length + taken === CHUNKS_MAX || characters > CHARACTERS_MAX;
      if (isOver && some.length + taken > 0) return [...some, ...waiting.splice(0, taken)];
      taken += 1;
    }
    some.push(...waiting.splice(0, taken));
  }
  return some;
}
