import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPostmaster } from '../../src/database/embedded/postmaster.js';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrate } from '../../src/database/migrate.js';
import { onServer, TEMPLATE, urlOf } from './database.js';

const PREFIX = 'tally-test-';
const quiet = () => undefined;

/**
 * Starts one throw-away Postgres for the whole test run, or uses the server at TALLY_TEST_POSTGRES_URL (a superuser's
 * URL), and makes the template of the test databases. Test files find the server in TALLY_TEST_DATABASE_URL.
 * @returns what ends the server
 */
export async function startTestServer(): Promise<() => Promise<void>> {
  const given = process.env['TALLY_TEST_POSTGRES_URL'];
  const { url, stop } = given ? { url: given, stop: () => Promise.resolve() } : await startServer();
  process.env['TALLY_TEST_DATABASE_URL'] = url;
  await onServer(`DROP DATABASE IF EXISTS ${TEMPLATE} WITH (FORCE)`);
  await onServer(`CREATE DATABASE ${TEMPLATE}`);
  await migrate(urlOf(TEMPLATE), quiet);
  return stop;
}

async function startServer(): Promise<{ url: string; stop: () => Promise<void> }> {
  await removeAbandoned();
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  const postgres = await startEmbeddedPostgres({ dataDir: folder, log: quiet, durable: false });
  const url = new URL(postgres.url);
  url.pathname = '/postgres';
  const stop = async () => {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { url: url.href, stop };
}

/** An interrupted test run never comes to its teardown; its server, in a session of its own, lives on. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const folder = join(tmpdir(), name);
    const postmaster = await findPostmaster(join(folder, 'postgres')).catch(() => undefined);
    if (postmaster) process.kill(postmaster.pid, 'SIGQUIT');
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }).catch(quiet);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
