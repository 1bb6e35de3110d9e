import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { findBinaries } from '../src/database/embedded/binaries.js';
import { ensureCluster } from '../src/database/embedded/cluster.js';
import { findHome } from '../src/database/embedded/home.js';
import { takeServer, urlOf, type Server, type ServerOptions } from '../src/database/embedded/server.js';
import { shutDown } from '../src/database/embedded/shutdown.js';
import { OBSERVER, type ChaosDatabase } from './database.js';
import { freePort } from './ports.js';

const DATABASE = 'tally';

/**
 * A Postgres of one's own with its usual durability. Not `startEmbeddedPostgres`, which would start a server that dies again
 * by itself, at times of its own choosing.
 */
export class ChaosPostgres implements ChaosDatabase {
  #isBusy = false;

  private constructor(
    readonly url: string,
    private readonly folder: string,
    private readonly options: ServerOptions,
    private server: Server,
  ) {}

  static async start(): Promise<ChaosPostgres> {
    const folder = await mkdtemp(join(tmpdir(), 'tally-chaos-'));
    const log = () => undefined;
    const home = await findHome({ dataDir: folder, binaries: await findBinaries(), log });
    const password = await ensureCluster(home, true);
    const logFile = join(folder, 'postgres.log');
    const options: ServerOptions = { home, password, logFile, log, durable: true };
    const server = await takeServer(options, await freePort());
    const admin = new pg.Client({ connectionString: urlOf(server.port, password, 'postgres') });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${DATABASE}`);
    await admin.end();
    return new ChaosPostgres(urlOf(server.port, password, DATABASE), folder, options, server);
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  async restart(downMs: number): Promise<void> {
    this.#isBusy = true;
    try {
      const { child, pid, port } = this.server;
      const gone = child ? once(child, 'exit') : Promise.resolve();
      process.kill(pid, 'SIGQUIT');
      await gone;
      await sleep(downMs);
      this.server = await takeServer(this.options, port);
    } finally {
      this.#isBusy = false;
    }
  }

  async remove(): Promise<void> {
    await shutDown(this.server, this.options.home, () => undefined);
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

/** Looks into the database from outside. A statement that finds the database away is asked again by whoever asked. */
export function observe(url: string): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: OBSERVER,
    max: 4,
    connectionTimeoutMillis: 2_000,
    query_timeout: 20_000,
  });
  pool.on('error', () => undefined);
  return pool;
}
