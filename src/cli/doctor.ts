import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { parseConfig, type Config } from '../config/config.js';
import { startEmbeddedPostgres } from '../database/embedded-postgres.js';
import { messageOf } from '../errors.js';
import { OF_THE_SCHEMA, OF_THE_SERVER, OF_THE_SERVICE, type Finding } from './doctor-checks.js';

/**
 * Examines the service by its database. Changes nothing, though it starts the embedded Postgres where that does not run.
 * @throws ConfigError
 */
export async function examine(env: Readonly<Record<string, string | undefined>>): Promise<Finding[]> {
  const config = parseConfig(env);
  if (config.DATABASE_URL !== undefined) return examineAt(config.DATABASE_URL, adviceFor(config));
  const found = await stat(join(config.DATA_DIR, 'postgres')).catch(() => null);
  if (!found)
    return [
      {
        what: 'Database',
        is: 'ill',
        seen: `there is none in ${config.DATA_DIR}, and DATABASE_URL is not set`,
        advice:
          'Start the service once, which makes it; or set DATABASE_URL or DATA_DIR as the service has them.',
      },
    ];
  const postgres = await startEmbeddedPostgres({ dataDir: config.DATA_DIR, log: () => undefined });
  try {
    return await examineAt(postgres.url, adviceFor(config));
  } finally {
    await postgres.stop();
  }
}

const adviceFor = ({ DATABASE_URL }: Pick<Config, 'DATABASE_URL'>): string =>
  DATABASE_URL === undefined
    ? 'See postgres.log in DATA_DIR.'
    : 'Check that Postgres runs, and the host, port, user and password in DATABASE_URL.';

async function examineAt(url: string, advice: string): Promise<Finding[]> {
  const session = new pg.Client({
    connectionString: url,
    application_name: 'tally-doctor',
    connectionTimeoutMillis: 5_000,
    query_timeout: 30_000,
  });
  // A cut connection is told by the query that it fails.
  session.on('error', () => undefined);
  const what = 'Database';
  const begun = performance.now();
  try {
    await session.connect();
    await session.query('SELECT 1');
  } catch (error) {
    await session.end().catch(() => undefined);
    return [{ what, is: 'ill', seen: `cannot be reached: ${messageOf(error)}`, advice }];
  }
  try {
    const seen = `answers within ${Math.round(performance.now() - begun)} ms`;
    return [{ what, is: 'well', seen }, ...(await examineWith(session))];
  } finally {
    await session.end().catch(() => undefined);
  }
}

/** Without its tables there is nothing more to look at. */
async function examineWith(session: pg.Client): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const check of [...OF_THE_SERVER, OF_THE_SCHEMA]) findings.push(await check(session));
  if (findings.at(-1)?.is === 'well') for (const check of OF_THE_SERVICE) findings.push(await check(session));
  return findings;
}
