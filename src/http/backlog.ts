/** So many are let in at whatever pace: a service that answers twenty a second is done with them within five seconds. */
const FEW = 100;
/** The pace is measured from here on: below, it would say how many come, not how many can be answered. */
const BUSY = FEW / 2;
/** How long a newcomer may have to wait, as far as can be foreseen: less than TURN_MS of the pool, since paces change. */
const WAIT_SECONDS = 1;
const WINDOW_MS = 500;

/**
 * The requests that wait for us, and how long one more would wait: their number by the pace of the
 * last half a second. A number alone fits no machine: a thousand that wait are two seconds for one that answers 500 a second, and
 * twenty for one that answers 50. The age of the oldest says it too late: at ten times the pace, a queue whose head
 * waits one second has ten seconds in it.
 */
export class Backlog {
  #waiting = 0;
  #answered = 0;
  #sinceMs = 0;
  /** Answers a second; null until it is known. */
  #pace: number | null = null;

  /** @param now milliseconds of a clock that never runs back */
  constructor(private readonly now: () => number = () => performance.now()) {}

  enter(): void {
    this.#waiting += 1;
    if (this.#waiting === BUSY) this.#begin();
  }

  /** @param isAnswered it was done, or refused for what it is; not given up for want of time */
  leave(isAnswered: boolean): void {
    this.#waiting -= 1;
    if (isAnswered) this.#answered += 1;
    if (this.#waiting < BUSY) this.#pace = null;
  }

  /** Whether one more would wait for too long. */
  get isTooLong(): boolean {
    if (this.#waiting < FEW) return false;
    const ms = this.now() - this.#sinceMs;
    if (ms >= WINDOW_MS) {
      this.#pace = (this.#answered * 1_000) / ms;
      this.#begin();
    }
    return this.#pace !== null && this.#waiting > this.#pace * WAIT_SECONDS;
  }

  #begin(): void {
    this.#sinceMs = this.now();
    this.#answered = 0;
  }
}
