import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { Closing } from '../http/closing.js';
import { JobStore, type StatusHead } from './job.store.js';

/** How often the watched jobs are looked at, while somebody waits. */
const LOOK_MS = 100;

export interface WatchOptions {
  /** Ends the watch: true for the state that is waited for. */
  readonly until: (now: StatusHead) => boolean;
  readonly timeoutMs: number;
  /** Aborted when whoever waits has gone. */
  readonly signal: AbortSignal;
}

interface Watch {
  readonly id: string;
  readonly until: (now: StatusHead) => boolean;
  readonly settle: (now: StatusHead | null | undefined) => void;
}

/**
 * Waits for jobs to change, for all clients of this process at once: one statement every 100 ms for however many wait, and
 * none when nobody does. Not by NOTIFY, which would serialise the commits of every flush.
 */
@Injectable()
export class JobWatcher implements OnModuleInit {
  readonly #watches = new Set<Watch>();
  readonly #log = new Logger('JobWatcher');
  #isLooking = false;
  #isAway = false;

  constructor(
    private readonly store: JobStore,
    private readonly closing: Closing,
  ) {}

  onModuleInit(): void {
    this.closing.signal.addEventListener('abort', () => {
      for (const watch of this.#watches) watch.settle(undefined);
    });
  }

  /** How many wait now. */
  get watches(): number {
    return this.#watches.size;
  }

  /** Whether the server closes, so that no watch takes any time. */
  get isClosing(): boolean {
    return this.closing.signal.aborted;
  }

  /**
   * @param id of a job that whoever waits may see
   * @returns the state that was waited for; null when the job is gone; undefined when the time is over, the server closes,
   *   or whoever waited has gone
   */
  watch(id: string, { until, timeoutMs, signal }: WatchOptions): Promise<StatusHead | null | undefined> {
    if (this.isClosing || signal.aborted || timeoutMs <= 0) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const forget = () => settle(undefined);
      const settle = (now: StatusHead | null | undefined) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', forget);
        this.#watches.delete(watch);
        resolve(now);
      };
      const timer = setTimeout(forget, timeoutMs);
      signal.addEventListener('abort', forget);
      const watch: Watch = { id, until, settle };
      this.#watches.add(watch);
      this.#lookLater();
    });
  }

  #lookLater(): void {
    if (this.#isLooking || this.#watches.size === 0) return;
    this.#isLooking = true;
    setTimeout(() => {
      void this.#look().finally(() => {
        this.#isLooking = false;
        this.#lookLater();
      });
    }, LOOK_MS);
  }

  async #look(): Promise<void> {
    // Those that come while the statement runs already know something newer than what it may say.
    const watches = [...this.#watches];
    if (watches.length === 0) return;
    const heads = await this.#read([...new Set(watches.map((watch) => watch.id))]);
    if (!heads) return;
    for (const { id, until, settle } of watches) {
      const now = heads.get(id) ?? null;
      if (now === null || until(now)) settle(now);
    }
  }

  /** @returns null while the database is away: those who wait go on waiting, until their time is over */
  async #read(ids: readonly string[]): Promise<Map<string, StatusHead> | null> {
    try {
      const heads = await this.store.heads(ids);
      this.#isAway = false;
      return new Map(heads.map((head) => [head.id, head]));
    } catch (error) {
      if (!this.#isAway) this.#log.warn({ err: error, msg: 'the watched jobs cannot be looked at' });
      this.#isAway = true;
      return null;
    }
  }
}
