import { setTimeout as sleep } from 'node:timers/promises';

/** A look is often a request or a statement: whoever waits for long looks less often. */
const PAUSE_MS = 10;
const PAUSE_MS_MOST = 50;

export interface WaitOptions {
  /** Default 5,000. */
  readonly timeoutMs?: number;
  /** Default: 10 at first, up to 50 when it takes longer. */
  readonly everyMs?: number;
  /** What is waited for, for the error; default: the source of the condition. */
  readonly what?: string;
}

/**
 * Asks until the condition says something truthy, and returns that.
 * @throws an error that names the condition and what it last said or threw, after timeoutMs
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 5_000, everyMs, what = condition.toString() }: WaitOptions = {},
): Promise<Exclude<T, false | 0 | '' | null | undefined>> {
  const deadline = Date.now() + timeoutMs;
  let pauseMs = everyMs ?? PAUSE_MS;
  for (;;) {
    let last: unknown;
    try {
      const value = await condition();
      if (value) return value as Exclude<T, false | 0 | '' | null | undefined>;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= deadline) {
      throw new Error(`Waited ${timeoutMs} ms in vain for: ${what} (last: ${String(last)})`, { cause: last });
    }
    await sleep(pauseMs);
    if (everyMs === undefined) pauseMs = Math.min(PAUSE_MS_MOST, pauseMs * 1.5);
  }
}
