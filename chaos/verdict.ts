const DEEDS = 8;

/** Everything that must not be, with when it was seen, and how often the rest happened. */
export class Verdict {
  readonly #begunAt = Date.now();
  readonly #violations = new Map<string, { first: string; times: number }>();
  readonly #counts = new Map<string, number>();
  /** What was done last to the service. */
  readonly #deeds: string[] = [];
  readonly #longest = new Map<string, number>();

  /** @param rule one sentence that stays the same; the first time that it is broken is kept with what it was */
  violation(rule: string, what: string): void {
    const known = this.#violations.get(rule);
    if (known) {
      known.times += 1;
      return;
    }
    const before = this.#deeds.length > 0 ? `\n    before it: ${this.#deeds.join(', ')}` : '';
    this.#violations.set(rule, { first: `${this.clock()} ${what}${before}`, times: 1 });
    console.error(`${this.clock()} VIOLATION: ${rule}: ${what}${before}`);
  }

  /** Something was done to the service: the last of it stands beside each violation. */
  deed(what: string): void {
    this.#deeds.push(`${this.clock()} ${what}`);
    if (this.#deeds.length > DEEDS) this.#deeds.shift();
  }

  count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by);
  }

  /** Keeps the largest. */
  measure(what: string, ms: number): void {
    this.#longest.set(what, Math.max(this.#longest.get(what) ?? 0, ms));
    this.count(`measured: ${what}`);
  }

  clock(): string {
    return `[${((Date.now() - this.#begunAt) / 1_000).toFixed(1).padStart(6)} s]`;
  }

  get isClean(): boolean {
    return this.#violations.size === 0;
  }

  counted(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  summary(): string {
    const counts = [...this.#counts]
      .filter(([what]) => !what.startsWith('measured: '))
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([what, count]) => `  ${what.padEnd(52)} ${count}`);
    const longest = [...this.#longest].map(
      ([what, ms]) => `  ${what.padEnd(52)} ${ms.toFixed(0)} ms (of ${this.counted(`measured: ${what}`)})`,
    );
    const broken = [...this.#violations].map(
      ([rule, { first, times }]) => `  ${rule} (${times} x)\n    first: ${first}`,
    );
    return [
      'What happened:',
      ...counts,
      'The longest:',
      ...longest,
      `Violations: ${broken.length}`,
      ...broken,
    ].join('\n');
  }
}
