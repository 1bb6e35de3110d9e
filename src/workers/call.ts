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

/** Who is told what has become of a call, once. */
export interface CallEnd<T> {
  readonly returned: (value: T) => void;
  readonly thrown: (reason: unknown) => void;
}

/**
 * One call of a handler, under way: it ends when the handler does or when it is aborted, whichever comes first, so that
 * a handler deaf to its signal keeps neither its place nor the process. No promise is made for it but the handler's own.
 */
export class Call<T> implements OpenCall {
  /** Handlers of this process that run on although they were aborted. */
  static strays = 0;
  readonly startedAtMs = performance.now();
  #isOpen = true;
  #deaf: NodeJS.Timeout | null = null;

  constructor(
    readonly lease: Lease,
    readonly context: SingleContext | ManyContext,
    readonly timeoutMs: number,
    private readonly end: CallEnd<T>,
  ) {}

  /** Calls the handler; where it returns no promise, the call has ended when this returns. */
  begin(run: () => Promise<T> | T): void {
    let running: Promise<T> | T;
    try {
      running = run();
    } catch (error) {
      this.#throw(error);
      return;
    }
    if (!isThenable(running)) this.#return(running);
    else
      running.then(
        (value) => this.#return(value),
        (reason: unknown) => this.#throw(reason),
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
    this.end.thrown(reason);
  }

  #return(value: T): void {
    if (this.#close()) this.end.returned(value);
  }

  #throw(reason: unknown): void {
    if (this.#close()) this.end.thrown(reason);
  }

  /** @returns whether it was open: then nobody has been told yet */
  #close(): boolean {
    if (this.#deaf) {
      clearTimeout(this.#deaf);
      Call.strays -= 1;
    }
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    return wasOpen;
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

const isThenable = <T>(value: Promise<T> | T): value is Promise<T> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
