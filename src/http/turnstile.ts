import type { Server } from 'node:net';

/** So long requests stand back behind new connections, at most. With 50 ms the connections took twice as long. */
const BEHIND_MS = 1_000;
/** Whose turn has not come by then is refused. */
const LATE_MS = 5_000;

interface Waiting {
  readonly sinceMs: number;
  /** @param isLate its turn did not come in time */
  readonly go: (isLate: boolean) => void;
}

/**
 * Lets requests in a few a turn of the event loop, and none in a turn that brought a new connection. libuv takes a single connection
 * a turn (since its pull request 3696), and whoever waits to be taken waits for as many turns as there are connections before
 * his: with dozens of requests in each, clients that came with 4,000 connections waited for a minute and a half.
 */
export class Turnstile {
  readonly #waiting: Waiting[] = [];
  #isBehind = false;
  #movedAtMs = 0;

  /**
   * @param aTurn how many it lets in a turn
   * @param now milliseconds of a clock that never runs back
   */
  constructor(
    server: Server,
    private readonly aTurn: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    server.on('connection', () => (this.#isBehind = true));
  }

  pass(go: (isLate: boolean) => void): void {
    const sinceMs = this.now();
    if (this.#waiting.push({ sinceMs, go }) > 1) return;
    this.#movedAtMs = sinceMs;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    const nowMs = this.now();
    while (this.#waiting[0] && nowMs - this.#waiting[0].sinceMs > LATE_MS) this.#waiting.shift()?.go(true);
    if (!this.#isBehind || nowMs - this.#movedAtMs > BEHIND_MS) {
      this.#movedAtMs = nowMs;
      for (const { go } of this.#waiting.splice(0, this.aTurn)) go(false);
    }
    this.#isBehind = false;
    if (this.#waiting.length > 0) setImmediate(this.#turn);
  };
}
