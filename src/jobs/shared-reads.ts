/**
 * Lets those who ask for the same thing at the same time share one query: the next one, which is not sent before the one
 * that runs has ended. Never one that has begun: who asks after a kill must not be told what was true before it.
 */
export class SharedReads<T> {
  /** Settles, and never fails, when the query of this key that runs has ended. */
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Promise<T>>();

  read(key: string, query: () => Promise<T>): Promise<T> {
    const next = this.#next.get(key);
    if (next) return next;
    const running = this.#running.get(key);
    if (!running) return this.#begin(key, query);
    const shared = running.then(() => {
      this.#next.delete(key);
      return this.#begin(key, query);
    });
    this.#next.set(key, shared);
    return shared;
  }

  #begin(key: string, query: () => Promise<T>): Promise<T> {
    const answer = query();
    const forget = () => {
      if (this.#running.get(key) === ended) this.#running.delete(key);
    };
    const ended = answer.then(forget, forget);
    this.#running.set(key, ended);
    return answer;
  }
}
