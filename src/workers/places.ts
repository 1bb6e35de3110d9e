/** Tasks that may run at once in this process: a counting semaphore whose usual case, a free place, costs no promise. */
export class Places {
  #free: number;
  #waiting: (() => void)[] = [];

  constructor(readonly total: number) {
    this.#free = total;
  }

  /** Takes a place if one is free. */
  take(): boolean {
    if (this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  release(): void {
    this.#free += 1;
    this.wake();
  }

  /** Resolves when a place may be free, or something else has changed: look again. */
  freed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lets everyone who waits look again. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
