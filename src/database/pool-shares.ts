import { Inject, Injectable } from '@nestjs/common';
import pLimit from 'p-limit';
import { CONFIG, type Config } from '../config/config.js';
import { busy } from '../errors.js';
import { DISK_FULL, sqlState } from '../sql-errors.js';

/** Connections of the main pool. */
export const POOL = 16;
/** How long a statement waits for its turn, at most: as long as it would for a connection. */
export const TURN_MS = 5_000;
/** So long after a write was refused for want of space this process says so of itself. */
const FULL_MS = 5_000;

/**
 * How many of the main pool's connections those may use at once who can wait for one another. A submission waits for a lock that
 * those of its account take in turn; without shares, as many of them as there are connections would keep every poll waiting until
 * they are through. What is left is for polls, health checks and the worker.
 */
@Injectable()
export class PoolShares {
  /** Adding a job, and taking its Idempotency-Key. */
  readonly submissions: Share;
  /** The pieces of streamed submissions. They wait for no lock and for as long as they must: half a job would be lost. */
  readonly uploads: Share;
  /** Kill, pause, resume, delete: apart, for whoever wants to stop what overloads the service. */
  readonly control: Share;
  /** What waits for a place of a share that is not for uploads, at most. */
  readonly waitingMax: number;
  #fullAtMs = -Infinity;

  constructor(@Inject(CONFIG) config: Pick<Config, 'MAX_PENDING_WRITES'>) {
    const waiting = config.MAX_PENDING_WRITES;
    this.waitingMax = waiting;
    const onError = (error: unknown): void => {
      if (sqlState(error) === DISK_FULL) this.#fullAtMs = performance.now();
    };
    this.submissions = new Share({ places: 8, waiting, turnMs: TURN_MS, onError });
    this.uploads = new Share({ places: 2, waiting: Infinity, turnMs: null, onError });
    this.control = new Share({ places: 2, waiting, turnMs: TURN_MS, onError });
  }

  /** A write was refused a moment ago because the disk of the database is full. */
  get isFull(): boolean {
    return performance.now() - this.#fullAtMs < FULL_MS;
  }
}

interface ShareOptions {
  readonly places: number;
  /** So many may wait for a place. */
  readonly waiting: number;
  /** null: as long as it takes */
  readonly turnMs: number | null;
  readonly onError: (error: unknown) => void;
}

export class Share {
  readonly #limit;
  #waiting = 0;

  constructor(private readonly options: ShareOptions) {
    this.#limit = pLimit(options.places);
  }

  /**
   * Runs `work` when it is its turn.
   * @throws DomainError Unavailable: too many wait, or its turn did not come in time, and nothing was done; what `work` throws
   */
  run<T>(work: () => Promise<T>): Promise<T> {
    const { turnMs, waiting, onError } = this.options;
    if (this.#waiting >= waiting) return Promise.reject(busy());
    this.#waiting += 1;
    // Given up when the time is over: an entry stays in the queue, and must not keep what it would have written.
    let pending: (() => Promise<T>) | null = work;
    return new Promise<T>((resolve, reject) => {
      const leave = (): void => {
        pending = null;
        this.#waiting -= 1;
        clearTimeout(timer);
      };
      const giveUp = (): void => {
        leave();
        reject(busy());
      };
      const timer = turnMs === null ? undefined : setTimeout(giveUp, turnMs);
      void this.#limit(async () => {
        const mine = pending;
        if (!mine) return;
        leave();
        const done = Promise.resolve().then(mine);
        resolve(done);
        await done.catch(onError);
      });
    });
  }
}
