/** So often it is asked. */
const CHECK_MS = 30_000;

/** Whether whoever watches a stream may still do so: their credentials were looked at when it began, and it may last for days. */
export class WatchingPermit {
  #checkedAt = performance.now();

  /** @param isAllowed whether the credentials are still right */
  constructor(
    private readonly isAllowed: () => Promise<boolean>,
    private readonly checkMs = CHECK_MS,
  ) {}

  async holds(): Promise<boolean> {
    if (performance.now() - this.#checkedAt < this.checkMs) return true;
    if (!(await this.isAllowed())) return false;
    this.#checkedAt = performance.now();
    return true;
  }
}
