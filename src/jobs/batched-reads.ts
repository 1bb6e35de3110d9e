/**
 * Lets all who ask at the same time share one query, whatever each asks for: the next one, which is not sent before the one that
 * runs has ended. Never one that has begun: who asks after a kill must not be told what was true before it.
 */
export class BatchedReads<T> {
  #next: { readonly keys: Set<string>; readonly answer: Promise<ReadonlyMap<string, T>> } | null = null;
  /** Settles, and never fails, when the query that runs has ended. */
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly query: (keys: readonly string[]) => Promise<ReadonlyMap<string, T>>) {}

  /** @returns undefined: it is not there */
  async read(key: string): Promise<T | undefined> {
    const batch = (this.#next ??= this.#open());
    batch.keys.add(key);
    return (await batch.answer).get(key);
  }

  #open() {
    const keys = new Set<string>();
    const answer = this.#running.then(turn).then(() => {
      this.#next = null;
      return this.query([...keys]);
    });
    const ended = () => undefined;
    this.#running = answer.then(ended, ended);
    return { keys, answer };
  }
}

/** All requests that have arrived by now are read before it resolves. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
