let last: Promise<void> = Promise.resolve();

/**
 * Resolves in a turn of the event loop that nobody else is given. A chunk of a thousand tasks that return at once keeps the process
 * for some milliseconds; were all that were claimed to begin in one turn, a poll would wait for dozens of them.
 */
export function nextTurn(): Promise<void> {
  last = last.then(() => new Promise((resolve) => setImmediate(resolve)));
  return last;
}
