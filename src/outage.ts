import type { Logger } from '@nestjs/common';
import { messageOf } from './errors.js';
import { whyAway } from './sql-errors.js';

/** A trouble that goes on, or comes back at once, is told again after this. */
const AGAIN_MS = 30_000;

/**
 * Tells that the database is away, and that it is back: once, and again every half a minute. What is tried a few times a
 * second would otherwise fill the log with one and the same line.
 */
export class Outage {
  #toldAtMs = -Infinity;
  #untold = 0;
  #isTold = false;

  /** @param what cannot be done meanwhile, as the beginning of a sentence */
  constructor(
    private readonly log: Pick<Logger, 'error' | 'log'>,
    private readonly what: string,
  ) {}

  /** @param about what belongs to this one, such as its job */
  met(error: unknown, about: object = {}): void {
    const nowMs = performance.now();
    if (nowMs - this.#toldAtMs < AGAIN_MS) {
      this.#untold += 1;
      return;
    }
    const times = this.#untold > 0 ? ` (and ${this.#untold} times since this was last told)` : '';
    this.log.error({ ...about, msg: `${this.what}: ${whyAway(error)}: ${messageOf(error)}${times}` });
    this.#toldAtMs = nowMs;
    this.#untold = 0;
    this.#isTold = true;
  }

  /** It works, or works again. */
  over(): void {
    if (!this.#isTold) return;
    this.#isTold = false;
    this.log.log(`the database is back; what could not be done: ${this.what}`);
  }
}
