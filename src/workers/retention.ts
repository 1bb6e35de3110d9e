import { Inject, Injectable, Logger } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CONFIG, type Config } from '../config/config.js';
import { jobsExpired } from '../happenings.js';
import { RetentionStore } from '../jobs/retention.store.js';
import { isDatabaseAway } from '../sql-errors.js';

/** A process that has the duty and says nothing for so long has lost it. */
const LEASE_MS = 10_000;
/** After a step it rests for so many times what the step took: live work has the database for the most part. */
const REST = 9;
/**
 * And for so many when it is an hour late: on a machine that is busy around the clock it would otherwise fall behind for
 * good, since its steps take longer there and so do its rests.
 */
const LATE_REST = 1;
const MAX_REST_MS = 2_000;

/**
 * Removes expired jobs and what deleted jobs have left, in small transactions with pauses. It runs beside the sweep and not
 * in it: a sweep that waited for ten million rows to go would rescue no chunk meanwhile.
 */
@Injectable()
export class Retention {
  readonly #holder = randomUUID();
  #running: Promise<void> | null = null;
  #stopping = new AbortController();
  readonly #log = new Logger('Retention');

  constructor(
    private readonly store: RetentionStore,
    @Inject(CONFIG) private readonly settings: Pick<Config, 'RETENTION_HOURS'>,
  ) {}

  /** Removes what there is to remove, unless another process is at it; asked while it does, it is the same run. Never rejects. */
  run(): Promise<void> {
    return (this.#running ??= this.#run().finally(() => (this.#running = null)));
  }

  /** Ends after the step that is under way; the rest is left to another process. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#stopping = new AbortController();
  }

  async #run(): Promise<void> {
    try {
      if (!(await this.store.isWanted(this.#holder, this.settings.RETENTION_HOURS))) return;
      if (!(await this.store.take(this.#holder, LEASE_MS))) return;
      const expired = await this.#remove(this.#stopping.signal);
      await this.store.leave(this.#holder);
      if (expired > 0) this.#log.log(`${expired} job(s) have expired`);
    } catch (error) {
      if (isDatabaseAway(error)) return;
      this.#log.error({ err: error, msg: 'the retention failed' });
    }
  }

  /**
   * Until nothing is left to remove, or the duty is lost. What is begun goes first, so that the list of it stays short
   * however many jobs expire at once.
   * @returns jobs that have expired
   */
  async #remove(signal: AbortSignal): Promise<number> {
    let expired = 0;
    let rest = REST;
    while (!signal.aborted) {
      const begun = performance.now();
      if (!(await this.store.purge(this.#holder, LEASE_MS))) {
        const { jobs, isLate } = await this.store.expire(
          this.#holder,
          LEASE_MS,
          this.settings.RETENTION_HOURS,
        );
        if (jobs === 0) break;
        jobsExpired.tell({ jobs });
        expired += jobs;
        rest = isLate ? LATE_REST : REST;
      }
      const restMs = Math.min(MAX_REST_MS, rest * (performance.now() - begun));
      await sleep(restMs, undefined, { signal }).catch(() => undefined);
    }
    return expired;
  }
}
