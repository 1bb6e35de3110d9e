/** Jobs that one client has not been told of, at most: one that reads so slowly is to begin anew. */
const DUE_MAX = 10_000;

/** What one client of a live list has not been told yet. It grows while the client reads slowly, and never repeats itself. */
export class FeedWatcher {
  /** Ids of jobs that have changed. */
  readonly due = new Set<string>();
  readonly removed = new Set<string>();
  areStatsDue = false;
  /** All there is comes first. */
  isSnapshotDue = true;
  /** Whether there was a look since it came. */
  isReady = false;
  /** Nothing comes any more. */
  isOver = false;
  #wake: (() => void) | null = null;

  get hasNews(): boolean {
    if (!this.isReady) return this.isOver;
    return this.due.size + this.removed.size > 0 || this.areStatsDue || this.isOver;
  }

  ready(): void {
    if (this.isReady) return;
    this.isReady = this.areStatsDue = true;
  }

  changed(id: string): void {
    this.due.add(id);
    this.#overflow();
  }

  gone(id: string): void {
    this.due.delete(id);
    this.removed.add(id);
    this.#overflow();
  }

  end(): void {
    this.isOver = true;
    this.wake();
  }

  wake(): void {
    this.#wake?.();
  }

  /** Until there is news, the time is over, or whoever watches has gone. */
  async news(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.hasNews || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', settle);
        this.#wake = null;
        resolve();
      };
      const timer = setTimeout(settle, timeoutMs);
      signal.addEventListener('abort', settle);
      this.#wake = settle;
    });
  }

  #overflow(): void {
    if (this.due.size + this.removed.size > DUE_MAX) this.isOver = true;
  }
}
