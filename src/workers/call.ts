import { Logger } from '@nestjs/common';
import type { Lease } from './lease.sql.js';
import type { ManyContext, SingleContext } from './handler-context.js';

/** After this long without an answer to its abort signal, a handler is reported. */
const DEAF_AFTER_MS = 5_000;

const logger = new Logger('Worker');

/** Why a call was ended before its handler did. */
export class CallAborted extends Error {
  override readonly name = 'AbortError';
  constructor(readonly why: 'timeout' | 'lost' | 'ended' | 'drain') {
    super(
      {
        timeout: 'the time is over',
        lost: 'the lease is lost',
        ended: 'the job has ended',
        drain: 'the worker stops',
      }[why],
    );
  }
}

/** What the worker may do to a call, whatever it returns. */
export interface OpenCall {
  /** Milliseconds since it began. */
  readonly elapsedMs: number;
  isOverdue(nowMs: number): boolean;
  abort(why: CallAborted['why']): void;
}

/**
 * One call of a handler, under way: it settles when the handler does or when it is aborted, whichever comes first, so that
 * a handler deaf to its signal keeps neither its place nor the process.
 */
export class Call<T> implements OpenCall {
  /** Handlers of this process that run on although they were aborted. */
  static strays = 0;
  readonly startedAtMs = performance.now();
  readonly settled: Promise<T>;
  #resolve!: (value: T) => void;
  #reject!: (reason: unknown) => void;
  #isOpen = true;
  #deaf: NodeJS.Timeout | null = null;

  constructor(
    readonly lease: Lease,
    readonly context: SingleContext | ManyContext,
    readonly timeoutMs: number,
    run: () => Promise<T> | T,
  ) {
    this.settled = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A plain function, so that what the handler throws before its first await is caught like the rest.
    void (async () => run())().then(
      (value) => this.#close(() => this.#resolve(value)),
      (reason: unknown) => this.#close(() => this.#reject(reason)),
    );
  }

  get elapsedMs(): number {
    return performance.now() - this.startedAtMs;
  }

  isOverdue(nowMs: number): boolean {
    return nowMs - this.startedAtMs > this.timeoutMs;
  }

  abort(why: CallAborted['why']): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const reason = new CallAborted(why);
    this.#watchForDeafness(reason);
    this.context.abort(reason);
    this.#reject(reason);
  }

  #close(settle: () => void): void {
    if (this.#deaf) {
      clearTimeout(this.#deaf);
      Call.strays -= 1;
    }
    if (!this.#isOpen) return;
    this.#isOpen = false;
    settle();
  }

  #watchForDeafness(reason: CallAborted): void {
    Call.strays += 1;
    this.#deaf = setTimeout(() => {
      const { lease } = this;
      logger.warn({
        job: this.context.jobId,
        account: lease.accountId,
        type: lease.type,
        msg: `a handler ignores its signal and runs on: ${reason.message}`,
      });
    }, DEAF_AFTER_MS);
    this.#deaf.unref();
  }
}
