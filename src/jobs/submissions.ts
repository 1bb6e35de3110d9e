import { Injectable } from '@nestjs/common';
import { PoolShares, TURN_MS } from '../database/pool-shares.js';
import { busy } from '../errors.js';
import { sqlState } from '../sql-errors.js';
import { EagerStarts, type Submission } from './eager-starts.js';
import { JobStore } from './job.store.js';
import type { SubmissionOutcome } from './submission.sql.js';

/** Jobs, and characters of their tasks, in one statement at most. */
const JOBS_MAX = 32;
const CHARACTERS_MAX = 1024 * 1024;

/** Classes of errors that the data of one job may be to blame for: a value that is out of bounds, a constraint. */
const OF_ONE_JOB = /^2[23]/;

interface Waiting {
  readonly job: Submission;
  readonly resolve: (outcome: SubmissionOutcome) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * Adds jobs. An account's submissions take a lock in turn and keep it until their commit is on disk, since they are counted against
 * its limit; so those that come while one is under way are added together, the next, in one statement and one commit. Each hears
 * for itself what has become of it (docs/performance.md has what it brings).
 */
@Injectable()
export class Submissions {
  /** By account, in the order in which they came. */
  readonly #waiting = new Map<number, Waiting[]>();
  readonly #running = new Set<number>();
  #count = 0;

  constructor(
    private readonly store: JobStore,
    private readonly shares: PoolShares,
    private readonly starts: EagerStarts,
  ) {}

  /**
   * @throws DomainError Unavailable: too many wait, or its turn did not come in time, and nothing was done; what `JobStore.submit`
   *   throws
   */
  add(job: Submission): Promise<SubmissionOutcome> {
    if (this.#count >= this.shares.waitingMax) return Promise.reject(busy());
    const { accountId } = job;
    const queue = this.#waiting.get(accountId) ?? [];
    this.#waiting.set(accountId, queue);
    this.#count += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        queue.splice(queue.indexOf(waiting), 1);
        this.#leave(accountId, queue, waiting);
        reject(busy());
      }, TURN_MS);
      const waiting: Waiting = { job, resolve, reject, timer };
      queue.push(waiting);
      this.#next(accountId);
    });
  }

  #next(accountId: number): void {
    if (this.#running.has(accountId) || !this.#waiting.has(accountId)) return;
    this.#running.add(accountId);
    // What has come by the time that it is this account's turn is sent, and not what had come when it began to wait.
    const sent = this.shares.submissions.run(() => this.#send(this.#take(accountId)));
    // Those that it was about know; those that still wait are tried anew, or run out of their time.
    void sent
      .catch(() => undefined)
      .then(() => {
        this.#running.delete(accountId);
        this.#next(accountId);
      });
  }

  /** Never leaves one without an answer. @throws what kept them all from being added, for who counts such errors */
  async #send(some: readonly Waiting[]): Promise<void> {
    const [only] = some;
    if (!only) return;
    if (some.length === 1) return this.#sendAlone(only);
    try {
      const jobs = some.map(({ job }) => job);
      const starts = jobs.map((job) => this.starts.reserve(job));
      const outcomes = await this.store.submitMany(jobs, starts);
      for (const [at, { resolve }] of some.entries()) resolve(outcomes[at] as SubmissionOutcome);
    } catch (error) {
      // Nothing was added. One of them may be to blame, which is for each to find out.
      if (OF_ONE_JOB.test(sqlState(error) ?? ''))
        for (const each of some) await this.#sendAlone(each).catch(() => undefined);
      else {
        for (const { reject } of some) reject(error);
        throw error;
      }
    }
  }

  async #sendAlone({ job, resolve, reject }: Waiting): Promise<void> {
    try {
      resolve(await this.store.submit(job, this.starts.reserve(job)));
    } catch (error) {
      reject(error);
      throw error;
    }
  }

  /** Takes out what may go in one statement: a job with an Idempotency-Key or a callback goes alone. */
  #take(accountId: number): Waiting[] {
    const queue = this.#waiting.get(accountId) ?? [];
    let taken = 0;
    let characters = 0;
    for (const { job } of queue) {
      for (const { tasks } of job.chunks) characters += tasks.length;
      const isOver = taken === JOBS_MAX || characters > CHARACTERS_MAX || !isPlain(job);
      if (taken > 0 && isOver) break;
      taken += 1;
      if (isOver) break;
    }
    const some = queue.splice(0, taken);
    for (const each of some) this.#leave(accountId, queue, each);
    return some;
  }

  /** It is out of the queue. */
  #leave(accountId: number, queue: readonly Waiting[], { timer }: Waiting): void {
    clearTimeout(timer);
    this.#count -= 1;
    if (queue.length === 0) this.#waiting.delete(accountId);
  }
}

const isPlain = ({ key, options }: Submission): boolean => key === null && options.callback_url === undefined;
