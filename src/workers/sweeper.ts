import { Injectable, Logger } from '@nestjs/common';
import { chunksRescued } from '../happenings.js';
import { IdempotencyStore } from '../jobs/idempotency.store.js';
import { JobControlStore } from '../jobs/job-control.store.js';
import { printJobId } from '../jobs/job.js';
import { UploadStore } from '../jobs/upload.store.js';
import { isDatabaseAway } from '../sql-errors.js';
import { ChunkStore } from './chunk.store.js';
import { Retention } from './retention.js';

const SWEEP_MS = 500;

/**
 * What no single worker sees to: chunks whose wait is over, chunks of workers that have died, deadlines, the chunks of jobs
 * that do not run, uploads that broke off, and idempotency keys whose time is over. Every worker process sweeps; the
 * statements skip what another one holds. Deleted and expired jobs are seen to by the retention, which it wakes.
 */
@Injectable()
export class Sweeper {
  #timer: NodeJS.Timeout | null = null;
  #sweeping: Promise<void> | null = null;
  #isWanted = false;
  readonly #log = new Logger('Sweeper');

  constructor(
    private readonly chunks: ChunkStore,
    private readonly jobs: JobControlStore,
    private readonly uploads: UploadStore,
    private readonly keys: IdempotencyStore,
    private readonly retention: Retention,
  ) {}

  start(): void {
    this.#timer = setInterval(() => this.sweepSoon(), SWEEP_MS);
  }

  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    await this.#sweeping;
    await this.retention.stop();
  }

  /** Sweeps now, or once more after the sweep that is under way. */
  sweepSoon(): void {
    if (!this.#timer) return;
    this.#isWanted = true;
    this.#sweeping ??= this.#sweepWhileWanted().finally(() => (this.#sweeping = null));
  }

  async #sweepWhileWanted(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#sweep();
    }
  }

  async #sweep(): Promise<void> {
    try {
      for (const id of await this.jobs.failOverdue())
        this.#log.log({ job: printJobId(id), msg: 'the deadline has passed' });
      const rescued = await this.chunks.rescue();
      if (rescued > 0) chunksRescued.tell({ chunks: rescued });
      if (rescued > 0) this.#log.warn(`${rescued} chunk(s) taken back from workers whose lease has run out`);
      const promoted = await this.chunks.promote();
      await this.jobs.park();
      await this.jobs.unpark();
      if (rescued + promoted > 0) await this.chunks.announce();
      void this.retention.run();
      await this.uploads.removeExpired();
      await this.keys.removeExpired();
    } catch (error) {
      if (isDatabaseAway(error)) return;
      this.#log.error({ err: error, msg: 'the sweep failed' });
    }
  }
}
