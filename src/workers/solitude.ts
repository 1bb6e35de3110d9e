/** So long a worker may go on from one lone suspect to the next before other work has its turn. */
const SESSION_MS = 1_000;
/** After a look that found none that may run, how long until the next. */
const NONE_PAUSE_MS = 1_000;

/**
 * When a worker takes suspects of one task. Each must run with nothing else in the process, so the worker stops claiming,
 * waits until what it holds is done, and runs suspects one after the other for a moment. Then, for at least as long as
 * that took, it does other work if there is any: a mass of suspects takes at most half of its time, and none starves.
 */
export class Solitude {
  #areWaiting = false;
  #sinceMs: number | null = null;
  #restUntilMs = -Infinity;

  /**
   * What a claim of other work has seen.
   * @param isIdle nothing runs, and there was nothing to claim: then suspects cost nobody a turn
   */
  learn(areWaiting: boolean, isIdle: boolean): void {
    this.#areWaiting = areWaiting;
    if (isIdle && areWaiting) this.#restUntilMs = -Infinity;
  }

  /** Whether to take a suspect now rather than other work. */
  isDue(nowMs: number): boolean {
    return this.#areWaiting && nowMs >= this.#restUntilMs;
  }

  /** One was taken. */
  begin(nowMs: number): void {
    this.#sinceMs ??= nowMs;
  }

  /** There was none that may run: those seen are others', or wait for their turn in an ordered job. */
  foundNone(nowMs: number): void {
    this.#areWaiting = false;
    this.#rest(nowMs, NONE_PAUSE_MS);
  }

  /** The one that was taken is done. */
  end(nowMs: number): void {
    if (this.#sinceMs !== null && nowMs - this.#sinceMs >= SESSION_MS) this.#rest(nowMs, 0);
  }

  #rest(nowMs: number, leastMs: number): void {
    const tookMs = this.#sinceMs === null ? 0 : nowMs - this.#sinceMs;
    this.#restUntilMs = nowMs + Math.max(leastMs, tookMs);
    this.#sinceMs = null;
  }
}
