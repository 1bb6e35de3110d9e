let last: Promise<void> = Promise.resolve();
let waiting = 0;

/**
 * Resolves in a turn of the event loop that nobody else is given. A chunk of a thousand tasks that return at once keeps the process
 * for some milliseconds; were all that were claimed to begin in one turn, a poll would wait for dozens of them.
 */
export function nextTurn(): Promise<void> {
  waiting += 1;
  last = last.then(() => new Promise((resolve) => setImmediate(resolve))).then(() => void (waiting -= 1));
  return last;
}

/** How many wait for their turn. */
export const turnsToCome = (): number => waiting;
