import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Config } from '../config/config.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';
import { migrate } from './migrate.js';
import { DatabaseStartError, hasCode } from './start-error.js';
import { messageOf } from '../errors.js';

/** A database that answers and has the newest tables. */
export interface OpenDatabase {
  /** With the password: not for the log. */
  readonly url: string;
  readonly embedded: boolean;
  /** To be called once, when every connection is closed: stops the embedded Postgres unless others use it. */
  close(): Promise<void>;
}

/** How long an outside database may take to come up: in a compose file all containers start together. */
const PATIENCE_MS = 60_000;
const TELL_MS = 5_000;

/** Nobody there yet, or there and still starting. Anything else (a wrong password) will not pass by itself. */
const PASSING = [
  ...['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...['57P03', '57P01', '53300', '08006', '08001', '08004'],
];
/** The same as PgBouncer says it, whose one code (08P01) for all there is tells nothing. */
const PASSING_WORDS =
  /timeout|terminated unexpectedly|server_login_retry|server conn crashed|the database system is/;

/**
 * Opens the database of the configuration, or else the embedded one under DATA_DIR, and migrates it.
 * @throws DatabaseStartError, whose message is the sentence to print
 */
export async function openDatabase(
  config: Pick<Config, 'DATABASE_URL' | 'DATA_DIR'>,
  log: (line: string) => void,
  patienceMs: number = PATIENCE_MS,
): Promise<OpenDatabase> {
  if (config.DATABASE_URL !== undefined) {
    await waitUntilReachable(config.DATABASE_URL, log, patienceMs);
    await migrate(config.DATABASE_URL, log);
    return { url: config.DATABASE_URL, embedded: false, close: () => Promise.resolve() };
  }
  const postgres = await startEmbeddedPostgres({ dataDir: config.DATA_DIR, log });
  try {
    await migrate(postgres.url, log);
  } catch (error) {
    await postgres.stop();
    throw error;
  }
  return { url: postgres.url, embedded: true, close: () => postgres.stop() };
}

async function waitUntilReachable(
  url: string,
  log: (line: string) => void,
  patienceMs: number,
): Promise<void> {
  const begun = Date.now();
  let told = begun - TELL_MS;
  for (;;) {
    const failure = await tryConnect(url);
    if (failure === undefined) return;
    if (!failure.passes || Date.now() - begun >= patienceMs) {
      const waited = failure.passes ? ` within ${Math.round(patienceMs / 1000)} s` : '';
      throw new DatabaseStartError(
        `The database at ${place(url)} cannot be used${waited}: ${failure.message}`,
      );
    }
    if (Date.now() - told >= TELL_MS) {
      told = Date.now();
      log(`Waiting for the database at ${place(url)}: ${failure.message}`);
    }
    await sleep(Math.min(500, patienceMs));
  }
}

async function tryConnect(url: string): Promise<{ message: string; passes: boolean } | undefined> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'tally-start',
    connectionTimeoutMillis: 5_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return undefined;
  } catch (error) {
    const message = messageOf(error);
    const passes = hasCode(error, ...PASSING) || PASSING_WORDS.test(message);
    return { message, passes };
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Host, port and database: what of the URL may be told. */
function place(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname}:${port || '5432'}${pathname}`;
}
