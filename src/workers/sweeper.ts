import { Injectable, Logger } from '@nestjs/common';
import { isDatabaseAway } from '../sql-errors.js';
import { ChunkStore } from './chunk.store.js';

const SWEEP_MS = 500;

/**
 * What no single worker sees to: chunks whose wait is over, and chunks of workers that have died. Every worker process
 * sweeps; the statements skip what another one holds.
 */
@Injectable()
export class Sweeper {
  #timer: NodeJS.Timeout | null = null;
  #sweeping: Promise<void> | null = null;
  readonly #log = new Logger('Sweeper');

  constructor(private readonly store: ChunkStore) {}

  start(): void {
    this.#timer = setInterval(() => {
      this.#sweeping ??= this.sweep().finally(() => (this.#sweeping = null));
    }, SWEEP_MS);
  }

  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.#sweeping;
  }

  async sweep(): Promise<void> {
    try {
      const rescued = await this.store.rescue();
      if (rescued > 0) this.#log.warn(`${rescued} chunk(s) taken back from workers whose lease has run out`);
      const promoted = await this.store.promote();
      if (rescued + promoted > 0) await this.store.announce();
    } catch (error) {
      if (isDatabaseAway(error)) return;
      this.#log.error('the sweep failed', error instanceof Error ? error.stack : String(error));
    }
  }
}
