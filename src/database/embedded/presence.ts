import pg from 'pg';

/** What every connection of Tally begins its application_name with. */
export const TALLY = 'tally';

/**
 * One idle connection that says "a process of Tally uses this server". Pools close idle connections, and between a
 * start and the first query there are none: without it, a process that stops would take the server from one that rests.
 */
export class Presence {
  readonly #pool: pg.Pool;
  #retry: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(url: string) {
    this.#pool = new pg.Pool({
      connectionString: url,
      application_name: `${TALLY}-presence`,
      max: 1,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      allowExitOnIdle: true,
    });
    this.#pool.on('error', () => this.#again());
  }

  /** Connects, and again whenever the connection is lost, every second, without keeping the process alive. */
  async begin(): Promise<void> {
    await this.#pool.query('SELECT 1').catch(() => this.#again());
  }

  /** Leaves. It comes not back. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#retry);
    await this.#pool.end();
  }

  #again(): void {
    clearTimeout(this.#retry);
    if (!this.#ended) this.#retry = setTimeout(() => void this.begin(), 1_000).unref();
  }
}
