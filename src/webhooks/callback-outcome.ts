/** What an answer, or none, means for a callback: pure functions. */

/** How often a callback is tried, and how long is waited: 5 s, 15 s, 45 s … 3 h, and then every 6 hours: a day in all. */
export const MAX_ATTEMPTS = 12;
const BASE_MS = 5_000;
const GROWTH = 3;
const MAX_MS = 6 * 60 * 60 * 1_000;
/** The waits are longer by up to this part, or the callbacks that a broken receiver missed would all come again at once. */
const JITTER = 0.2;

/** What came of one try. */
export type Outcome =
  | { readonly is: 'delivered' }
  | {
      readonly is: 'failed';
      /** For whoever reads the job. It tells nothing of what was answered, or the URL would be a way to read what it leads to. */
      readonly error: string;
      /** Another try would be no different. */
      readonly isFinal: boolean;
      /** The receiver asks not to be called again before. */
      readonly retryAfterMs?: number;
    }
  /** It was cut off by this process. */
  | { readonly is: 'cut-off' };

const failed = (error: string, isFinal = false): Outcome => ({ is: 'failed', error, isFinal });

/** @param retryAfter the header as it came */
export function outcomeOfAnswer(status: number, retryAfter: string | undefined): Outcome {
  if (status >= 200 && status < 300) return { is: 'delivered' };
  if (status === 410) return failed('the receiver answered 410 Gone', true);
  if (status >= 300 && status < 400)
    return failed(`the receiver answered ${status}, and redirects are not followed`);
  const outcome = { is: 'failed', error: `the receiver answered ${status}`, isFinal: false } as const;
  return /^\d{1,9}$/.test(retryAfter ?? '')
    ? { ...outcome, retryAfterMs: Number(retryAfter) * 1_000 }
    : outcome;
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  ENOTFOUND: 'the host was not found',
  EAI_AGAIN: 'the host could not be looked up',
  ETIMEDOUT: 'the host does not answer',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the host cannot be reached',
};

/** How request-filtering-agent says no; its errors have no code. */
const REFUSED_ADDRESS = /is not allowed\. Because/;

/**
 * Of a request that failed on this side of an answer.
 * @param hasAddress whether the URL has an address and not a name: one that is refused stays so
 */
export function outcomeOfError(error: unknown, hasAddress: boolean): Outcome {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof message === 'string' && REFUSED_ADDRESS.test(message))
    return failed('the address of the host is not public, which is not allowed', hasAddress);
  if (typeof code !== 'string') return failed('the request failed');
  if (code.startsWith('HPE_')) return failed('the answer was not HTTP');
  return failed(REASONS[code] ?? `the request failed: ${code}`);
}

export const tooSlow = (limitMs: number): Outcome =>
  failed(`the receiver did not answer within ${limitMs / 1_000} s`);

/**
 * @param attempt which has failed, from 1
 * @param random in [0, 1)
 * @returns milliseconds
 */
export function backoffMs(attempt: number, random: number, retryAfterMs = 0): number {
  const whole = Math.min(MAX_MS, Math.max(retryAfterMs, BASE_MS * GROWTH ** (attempt - 1)));
  return Math.round(whole * (1 + JITTER * random));
}
