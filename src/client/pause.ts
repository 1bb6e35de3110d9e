/**
 * Waits.
 * @throws the signal's reason, at once when it is aborted
 */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * How long to wait before another try: twice as long each time, up to 15 s, by chance half of it or more, so that those
 * who were cut off together do not come back together. Never shorter than the service has asked for.
 * @param failures in a row so far, 1 at least
 * @param retryAfterSeconds as the service has said
 */
export function backoffMs(failures: number, retryAfterSeconds: number | null): number {
  const longest = Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS);
  return Math.max(longest * (0.5 + Math.random() / 2), (retryAfterSeconds ?? 0) * 1_000);
}
