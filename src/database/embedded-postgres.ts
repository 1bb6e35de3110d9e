import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { findBinaries } from './embedded/binaries.js';
import { ensureCluster } from './embedded/cluster.js';
import { findHome, type HomeOptions } from './embedded/home.js';
import { isPostmaster } from './embedded/postmaster.js';
import { Presence, TALLY } from './embedded/presence.js';
import { type Server, type ServerOptions, takeServer, urlOf } from './embedded/server.js';
import { shutDown } from './embedded/shutdown.js';
import { hasCode } from './start-error.js';
import { messageOf } from '../errors.js';

const DATABASE = 'tally';
const ATTEMPTS = 3;
const WATCH_MS = 1_000;
const LEAVING_MS = 500;
const PAUSE_MAX_MS = 10_000;
const CALM_MS = 60_000;

export interface EmbeddedPostgresOptions {
  /** DATA_DIR: made if it is not there. One machine at a time may use it. */
  readonly dataDir: string;
  /** One line for the service's log; never a password. */
  readonly log: (line: string) => void;
  /** false: commits survive a kill -9 of Postgres, but not of the machine. For tests. */
  readonly durable?: boolean;
  /** For tests of the ways around root, see findHome. */
  readonly machine?: Partial<Pick<HomeOptions, 'userNamespaces' | 'refuge' | 'binaries'>>;
}

/**
 * Starts a real Postgres on the data in DATA_DIR, making it first if need be, or takes the one that already runs on it:
 * left by a service that was killed, or shared with another process of Tally. It listens on 127.0.0.1 alone, outlives a
 * kill -9 of this process and a Ctrl-C in its terminal, and is started again, on the same port, when it dies.
 * @throws DatabaseStartError
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  const home = await findHome({
    dataDir,
    binaries: await findBinaries(),
    log: options.log,
    ...options.machine,
  });
  const durable = options.durable ?? true;
  const password = await ensureCluster(home, durable);
  const serverOptions: ServerOptions = {
    home,
    password,
    logFile: join(dataDir, 'postgres.log'),
    log: options.log,
    durable,
  };
  for (let attempt = 1; ; attempt += 1) {
    const server = await takeServer(serverOptions);
    const postgres = new EmbeddedPostgres(serverOptions, server);
    try {
      await postgres.join();
      const how = server.child ? 'started' : 'found running';
      options.log(
        `Embedded Postgres ${how}: 127.0.0.1:${server.port}, pid ${server.pid}, data in ${home.data}`,
      );
      return postgres;
    } catch (error) {
      await postgres.stop();
      // The one who stopped it had looked around just before we came.
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

export class EmbeddedPostgres {
  /** With the password: not for the log. It stays the same when the server is started again. */
  readonly url: string;
  readonly #adminUrl: string;
  readonly #options: ServerOptions;
  readonly #presence: Presence;
  readonly #stopping = new AbortController();
  #server: Server;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = 0;
  #recoveredAt = 0;
  #recovery: Promise<void> | undefined;

  constructor(options: ServerOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    this.url = urlOf(server.port, options.password, DATABASE);
    this.#adminUrl = urlOf(server.port, options.password, 'postgres');
    this.#presence = new Presence(this.#adminUrl);
  }

  /** Whether this process started the server, rather than finding it. */
  get ownsServer(): boolean {
    return this.#server.child !== undefined;
  }

  /** Makes this process known to those that share the server, sees to its database, and looks after it from now on. */
  async join(): Promise<void> {
    await this.#presence.begin();
    await ensureDatabase(this.#adminUrl);
    this.#timer = setInterval(() => void this.#look(), WATCH_MS).unref();
    this.#server.child?.once('exit', () => void this.#look());
  }

  /**
   * Ends the supervision, and the server too unless another process of Tally uses it. The caller has closed its own
   * connections. Returns when the server's process is gone, or left to the others.
   */
  async stop(): Promise<void> {
    if (this.#isStopping()) return;
    this.#stopping.abort();
    clearInterval(this.#timer);
    await this.#recovery;
    await this.#presence.end();
    const { home, log } = this.#options;
    const others = await countOthers(this.#adminUrl);
    if (others > 0) {
      log(`Embedded Postgres left running: ${others} more connections of Tally use it`);
      return;
    }
    await shutDown(this.#server, home, log);
    log('Embedded Postgres stopped');
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #look(): Promise<void> {
    if (this.#recovery || this.#isStopping()) return;
    if (await isPostmaster(this.#server.pid, this.#options.home.data)) return;
    if (!this.#isStopping()) this.#recovery ??= this.#recover().finally(() => (this.#recovery = undefined));
  }

  /** Starts it again: at once after a calm time, else after a pause that doubles, so a server that keeps dying costs little. */
  async #recover(): Promise<void> {
    const { log } = this.#options;
    log(`Embedded Postgres (pid ${this.#server.pid}) is gone without being told to: starting it again`);
    if (Date.now() - this.#recoveredAt > CALM_MS) this.#pauseMs = 0;
    while (!this.#isStopping()) {
      try {
        await sleep(this.#pauseMs, undefined, { ref: false, signal: this.#stopping.signal });
        this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, 250), PAUSE_MAX_MS);
        await this.#takeAgain();
        this.#recoveredAt = Date.now();
        return;
      } catch (error) {
        if (!this.#isStopping())
          log(`Embedded Postgres is not back yet, next try in ${this.#pauseMs} ms: ${messageOf(error)}`);
      }
    }
  }

  async #takeAgain(): Promise<void> {
    const { port } = this.#server;
    const server = await takeServer(this.#options, port);
    if (server.port !== port) throw new Error(`it now listens on port ${server.port}, not ${port}`);
    this.#server = server;
    server.child?.once('exit', () => void this.#look());
    this.#options.log(`Embedded Postgres is back: pid ${server.pid}`);
  }
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: `${TALLY}-start` });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } catch (error) {
    // Another process that began at once made it first.
    if (!hasCode(error, '42P04', '23505')) throw error;
  } finally {
    await client.end();
  }
}

/**
 * Connections of other processes of Tally. Our own may take a moment to leave, and so may those of another that stops at
 * once and would leave the server to us: so the answer is only believed after half a second.
 */
async function countOthers(url: string): Promise<number> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'stop of tally',
    connectionTimeoutMillis: 5_000,
  });
  client.on('error', () => undefined);
  const deadline = Date.now() + LEAVING_MS;
  try {
    await client.connect();
    for (;;) {
      const { rows } = await client.query<{ others: number }>(
        `SELECT count(*)::int AS others FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name LIKE $1 AND pid <> pg_backend_pid()`,
        [`${TALLY}%`],
      );
      const others = rows[0]?.others ?? 0;
      if (others === 0 || Date.now() > deadline) return others;
      await sleep(25);
    }
  } catch {
    // A server that does not answer serves nobody.
    return 0;
  } finally {
    await client.end().catch(() => undefined);
  }
}
