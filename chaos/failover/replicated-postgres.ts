import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { handOver } from '../../src/database/embedded/runner.js';
import { OBSERVER, type FailoverDatabase, type Promotion } from '../database.js';
import { Pooler } from './pooler.js';
import { OWNER, PostgresServer, STANDBY } from './postgres-server.js';
import type { Programs } from './programs.js';

const DATABASE = 'tally';
const WRITES_MS = 60_000;
const CATCH_UP_MS = 10_000;
const RETRY_MS = 500;

/**
 * A primary, a standby that has every commit before it is answered (`synchronous_standby_names`), and PgBouncer in transaction
 * mode, which leads to the primary. After a promotion the dead primary is made the standby of the other one, anew.
 */
export class ReplicatedPostgres implements FailoverDatabase {
  #isBusy = false;
  #isClosing = false;
  /** Whether the standby is waited for at every commit. */
  #isGuarded = false;
  #rebuilding: Promise<void> = Promise.resolve();

  private constructor(
    private readonly folder: string,
    private readonly pooler: Pooler,
    private primary: PostgresServer,
    private standby: PostgresServer,
  ) {}

  static async start({ runner, bin, pgbouncer }: Programs): Promise<ReplicatedPostgres> {
    const folder = await mkdtemp(join(tmpdir(), 'tally-failover-'));
    await handOver(runner, folder);
    const password = randomBytes(16).toString('hex');
    const programs = { runner, bin, pgbouncer };
    const primary = await PostgresServer.create(programs, folder, 'one', password);
    const standby = await PostgresServer.create(programs, folder, 'other', password);
    await primary.init();
    await primary.start();
    await primary.query(`CREATE DATABASE ${DATABASE}`);
    const place = { folder: join(folder, 'pooler'), pgbouncer, runner, user: OWNER, password };
    const pooler = await Pooler.start(place, primary.port);
    const pair = new ReplicatedPostgres(folder, pooler, primary, standby);
    await pair.#rebuild();
    return pair;
  }

  get url(): string {
    return this.pooler.url(DATABASE);
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Waits until there is a standby that has everything. */
  async guarded(): Promise<void> {
    await this.#rebuilding;
  }

  async restart(downMs: number): Promise<void> {
    await this.#alone(async () => {
      await this.primary.shutDown();
      await sleep(downMs);
      await this.primary.start();
    });
  }

  async restartPooler(downMs: number): Promise<void> {
    await this.#alone(() => this.pooler.restart(downMs));
  }

  async promote({ downMs, leadsFirst }: Promotion): Promise<boolean> {
    if (!this.#isGuarded || this.#isBusy) return false;
    return this.#alone(async () => {
      if (!(await this.#hasAll())) return false;
      const [dead, heir] = [this.primary, this.standby];
      this.#isGuarded = false;
      await dead.crash();
      // Until it is promoted, the heir refuses to write.
      if (leadsFirst) await this.pooler.point(heir.port);
      await sleep(downMs);
      await heir.query('SELECT pg_promote(true, 60)');
      if (!leadsFirst) await this.pooler.point(heir.port);
      [this.primary, this.standby] = [heir, dead];
      this.#rebuilding = this.#rebuild();
      return true;
    });
  }

  async remove(): Promise<void> {
    this.#isClosing = true;
    await this.#rebuilding;
    await this.pooler.stop();
    await this.standby.remove();
    await this.primary.remove();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  /** One thing at a time, and it is not over before a client can write again. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    this.#isBusy = true;
    try {
      const done = await work();
      await this.#untilItWrites();
      return done;
    } finally {
      this.#isBusy = false;
    }
  }

  async #untilItWrites(): Promise<void> {
    const byMs = Date.now() + WRITES_MS;
    for (;;) {
      try {
        await this.#write();
        return;
      } catch (error) {
        if (Date.now() > byMs) throw new Error('nothing can be written through the pooler', { cause: error });
        await sleep(50);
      }
    }
  }

  /** The shortest commit that waits for the standby. */
  async #write(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.url,
      application_name: OBSERVER,
      connectionTimeoutMillis: 2_000,
      query_timeout: 5_000,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query(`SELECT pg_logical_emit_message(true, '${OBSERVER}', '')`);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** Makes the standby a copy of the primary, and the primary wait for it. The primary may be restarted meanwhile. */
  async #rebuild(): Promise<void> {
    while (!this.#isClosing) {
      try {
        await this.#waitForStandby(false);
        await this.standby.copy(this.primary);
        await this.#until(`state = 'streaming'`);
        await this.#waitForStandby(true);
        this.#isGuarded = await this.#until(`sync_state = 'sync'`);
        if (this.#isGuarded) return;
      } catch {
        await sleep(RETRY_MS);
      }
    }
  }

  async #waitForStandby(does: boolean): Promise<void> {
    await this.primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${does ? STANDBY : ''}'`);
    await this.primary.query('SELECT pg_reload_conf()');
  }

  /**
   * Whether the standby has all that anybody can have seen by now. After a restart, or for a backend that was ended while it
   * waited, commits can be seen that no client was told of and that the standby has a moment later.
   */
  async #hasAll(): Promise<boolean> {
    const [row] = await this.primary.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn');
    return this.#until(`sync_state = 'sync' AND flush_lsn >= '${row?.lsn ?? ''}'`);
  }

  async #until(condition: string): Promise<boolean> {
    const byMs = Date.now() + CATCH_UP_MS;
    while (Date.now() < byMs && !this.#isClosing) {
      const rows = await this.primary.query(
        `SELECT FROM pg_stat_replication WHERE application_name = '${STANDBY}' AND ${condition}`,
      );
      if (rows.length > 0) return true;
      await sleep(50);
    }
    return false;
  }
}
