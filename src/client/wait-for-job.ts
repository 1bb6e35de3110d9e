import { TallyError } from './errors.js';
import { backoffMs, pause } from './pause.js';

/** Seconds that an answer may be held while nothing changes: proxies and load balancers give up after a minute. */
const IDLE_SECONDS = 30;
/** Seconds beyond those that an answer was asked to be held for: whoever has not answered then never will. */
const LATE_SECONDS = 20;

export interface WaitOptions<Status> {
  /** Called with the status now, and again each time another one was seen; what it throws ends the wait. */
  readonly onProgress?: (status: Status) => void;
  /** Ends the wait: the promise rejects with the signal's reason. The job goes on. */
  readonly signal?: AbortSignal;
  /** How often a moving job is looked at, in seconds (1…60, default 2). Its end is seen at once, whatever this says. */
  readonly pollSeconds?: number;
  /** How long the service may be away, in seconds, before the wait gives up (default 300). */
  readonly patienceSeconds?: number;
}

/** One look at a job; `status` is null when it is the one that `ifNoneMatch` has named. */
export interface Look<Status> {
  readonly status: Status | null;
  readonly etag: string | null;
}

export interface LookRequest {
  /** How long the answer may be held, in seconds. */
  readonly waitSeconds: number;
  readonly ifNoneMatch?: string;
  readonly signal: AbortSignal;
}

/**
 * A moving job is asked with `Prefer: wait` alone: the answer comes after pollSeconds, or at the very end. With If-None-Match it
 * would come at each change, ten times a second. One that stands still (paused, not begun) is asked with both, which costs one
 * request of no body in 30 s, and shows at once when it moves again.
 * @returns the status in which the job has ended
 * @throws TallyError what is no passing trouble, or has lasted for patienceSeconds
 */
export async function waitForEnd<Status extends { readonly status: string }>(
  look: (request: LookRequest) => Promise<Look<Status>>,
  { onProgress, signal, pollSeconds = 2, patienceSeconds = 300 }: WaitOptions<Status>,
): Promise<Status> {
  if (!Number.isInteger(pollSeconds) || pollSeconds < 1 || pollSeconds > 60)
    throw new RangeError(`expected pollSeconds to be a whole number from 1 to 60, got: ${pollSeconds}`);
  const patient = new Patience(patienceSeconds, signal);
  let pace: Pace = 'first';
  let seen: string | null = null;
  for (;;) {
    const began = Date.now();
    const waitSeconds: number = { first: 0, moving: pollSeconds, still: IDLE_SECONDS }[pace];
    const known: { ifNoneMatch?: string } = pace === 'still' && seen !== null ? { ifNoneMatch: seen } : {};
    const answer: Look<Status> | undefined = await patient.attempt(
      (within) => look({ waitSeconds, ...known, signal: within }),
      waitSeconds,
    );
    if (!answer) continue;
    const { status, etag } = answer;
    const isNew: boolean = status !== null && (etag === null || etag !== seen);
    if (status !== null && isNew) onProgress?.(status);
    if (status !== null && status.status !== 'working') return status;
    // A server that stops answers at once, and a proxy may take `Prefer` away: neither is to be asked without a pause.
    const wasHeld = pace === 'first' || (pace === 'still' && isNew);
    if (!wasHeld) await pause(Math.max(0, began + pollSeconds * 1_000 - Date.now()), signal);
    pace = isNew ? 'moving' : 'still';
    seen = etag ?? seen;
  }
}

/** Whether a job was seen to change between the last two looks. */
type Pace = 'first' | 'moving' | 'still';

/** Bears with a service that is away for a while. */
class Patience {
  #failures = 0;
  #failingSince = 0;

  constructor(
    private readonly seconds: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /**
   * Tries once; after a passing trouble it waits before it returns.
   * @returns undefined: there was trouble, try again
   */
  async attempt<T>(run: (signal: AbortSignal) => Promise<T>, heldSeconds: number): Promise<T | undefined> {
    const timeout = AbortSignal.timeout((heldSeconds + LATE_SECONDS) * 1_000);
    try {
      const answer = await run(this.signal ? AbortSignal.any([this.signal, timeout]) : timeout);
      this.#failures = 0;
      return answer;
    } catch (thrown) {
      this.signal?.throwIfAborted();
      const error = timeout.aborted ? TallyError.unreachable(thrown) : thrown;
      if (!(error instanceof TallyError) || !error.isTransient) throw error;
      await this.#bear(error);
      return undefined;
    }
  }

  async #bear(error: TallyError): Promise<void> {
    if (this.#failures === 0) this.#failingSince = Date.now();
    this.#failures += 1;
    const waitMs = backoffMs(this.#failures, error.retryAfterSeconds);
    if (Date.now() + waitMs - this.#failingSince > this.seconds * 1_000) throw error;
    await pause(waitMs, this.signal);
  }
}
