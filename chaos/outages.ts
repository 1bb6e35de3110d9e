/** Stretches of time in which something was away by our doing; the last one may still be open. */
export class Outages {
  readonly #spans: { from: number; to: number }[] = [];
  #depth = 0;

  /** Begins one, or another one within it. */
  begin(): void {
    this.#depth += 1;
    if (this.#depth === 1) this.#spans.push({ from: Date.now(), to: Infinity });
  }

  end(): void {
    this.#depth -= 1;
    const last = this.#spans.at(-1);
    if (this.#depth === 0 && last) last.to = Date.now();
  }

  get isNow(): boolean {
    return this.#depth > 0;
  }

  /** Whether any of the time from `from` to `to` was in one, or within `graceMs` after it. */
  touches(from: number, to: number, graceMs = 0): boolean {
    return this.#spans.some((span) => span.from <= to && from <= span.to + graceMs);
  }

  /** Milliseconds from `from` to `to` that were in one, or within `graceMs` after it. */
  within(from: number, to: number, graceMs = 0): number {
    let [sum, covered] = [0, from];
    for (const span of this.#spans) {
      const [begin, end] = [Math.max(span.from, covered), Math.min(span.to + graceMs, to)];
      if (end <= begin) continue;
      sum += end - begin;
      covered = end;
    }
    return sum;
  }
}
