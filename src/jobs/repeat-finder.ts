/** Keys that are remembered, at most; of a job with more, nobody knows whether one repeats, and it counts as one that does. */
const KEYS_MAX = 250_000;

/** Finds out whether a key comes twice, in bounded memory. */
export class RepeatFinder {
  readonly #seen = new Set<string | number>();
  #hasRepeat = false;

  add(key: string | number): void {
    if (this.#hasRepeat) return;
    const before = this.#seen.size;
    this.#seen.add(key);
    this.#hasRepeat = this.#seen.size === before || this.#seen.size > KEYS_MAX;
    if (this.#hasRepeat) this.#seen.clear();
  }

  get hasRepeat(): boolean {
    return this.#hasRepeat;
  }
}
