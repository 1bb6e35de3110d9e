import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** Default 5,000. */
  readonly timeoutMs?: number;
  /** Default 10. */
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
  { timeoutMs = 5_000, everyMs = 10, what = condition.toString() }: WaitOptions = {},
): Promise<Exclude<T, false | 0 | '' | null | undefined>> {
  const deadline = Date.now() + timeoutMs;
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
    await sleep(everyMs);
  }
}
