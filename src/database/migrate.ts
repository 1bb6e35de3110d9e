import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createEngine, listFor, type Migration } from './schema-engine.js';
import { DatabaseStartError } from './start-error.js';
import { messageOf } from '../errors.js';

/** prisma/migrations of the package, as far from src/database as from dist/database. */
export const MIGRATIONS = fileURLToPath(new URL('../../prisma/migrations', import.meta.url));

/**
 * The key of the advisory lock under which migrations run. It is the one that Prisma's own command line takes, so
 * `prisma migrate deploy` and a starting service keep out of each other's way too.
 */
const MIGRATION_LOCK = 72_707_369;
const OLDEST_POSTGRES = 15;

interface Applied {
  readonly name: string;
  readonly checksum: string;
  readonly finished: boolean;
}

/**
 * Brings the database to the newest migration, and writes Prisma's ordinary `_prisma_migrations`. Everything happens in
 * one transaction on one connection: a kill or a cut in the middle leaves nothing behind, of processes that start at once
 * one migrates and the others find it done, and PgBouncer in transaction mode is no obstacle, as it would be to a lock of
 * the session. When nothing is to be done it costs one connection and two queries, without a lock and without the engine.
 * @param folder where the migrations are
 * @returns names of the migrations that this call applied, in order
 * @throws DatabaseStartError when the database is too old, too new, or a migration fails
 */
export async function migrate(
  databaseUrl: string,
  log: (line: string) => void,
  folder: string = MIGRATIONS,
): Promise<{ applied: string[] }> {
  const migrations = await readMigrations(folder);
  const session = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'tally-migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // A cut connection is an event besides the failed query; the query's failure is the one that is told.
  session.on('error', () => undefined);
  try {
    await session.connect();
    await checkVersion(session);
    if (pending(await readApplied(session), migrations).length === 0) return { applied: [] };
    return { applied: await applyLocked(session, migrations, folder, log) };
  } finally {
    await session.end().catch(() => undefined);
  }
}

/**
 * Names of the migrations that this database lacks; looks only.
 * @throws DatabaseStartError when its history is not a beginning of ours
 */
export async function missingMigrations(session: pg.Client): Promise<string[]> {
  return pending(await readApplied(session), await readMigrations(MIGRATIONS));
}

async function applyLocked(
  session: pg.Client,
  migrations: readonly Migration[],
  folder: string,
  log: (line: string) => void,
): Promise<string[]> {
  // Another process may be at a long migration: waiting for it is no reason to be cut off.
  await session.query('BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = 0');
  await session.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
  const missing = pending(await readApplied(session), migrations);
  if (missing.length === 0) return [];
  const begun = performance.now();
  await apply(session, migrations, folder, missing[0] ?? '');
  await session.query('COMMIT');
  log(`Database migrated in ${Math.round(performance.now() - begun)} ms: ${missing.join(', ')}`);
  return missing;
}

async function apply(session: pg.Client, migrations: readonly Migration[], folder: string, first: string) {
  const scripts = new Map(migrations.map(({ name, script }) => [script, name]));
  let current = first;
  let failure: unknown;
  const engine = await createEngine(session, (adapter) => {
    const execute = adapter.executeRaw.bind(adapter);
    // The engine's own lock is one of the session, and the same that this transaction holds.
    adapter.executeRaw = async (query) => (query.sql.includes('pg_advisory_lock') ? 0 : execute(query));
    const script = adapter.executeScript.bind(adapter);
    adapter.executeScript = async (sql) => {
      current = scripts.get(sql) ?? current;
      await script(sql).catch((error: unknown) => {
        // The engine goes on to write the failure down, in a transaction that takes no more: keep the first error.
        failure = error;
        throw error;
      });
    };
  });
  try {
    const lockfile = await readFile(join(folder, 'migration_lock.toml'), 'utf8');
    await engine.applyMigrations({
      migrationsList: listFor(migrations, lockfile),
      filters: { externalTables: [], externalEnums: [] },
    });
  } catch (error) {
    const reason = failure ?? error;
    throw new DatabaseStartError(
      `Migration ${current} failed and nothing of it was kept: ${messageOf(reason)}`,
      { cause: reason },
    );
  } finally {
    engine.free();
  }
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names
      .sort()
      .map(async (name) => ({ name, script: await readFile(join(folder, name, 'migration.sql'), 'utf8') })),
  );
}

/**
 * @returns the version of the server
 * @throws DatabaseStartError when it is too old
 */
export async function checkVersion(session: pg.Client): Promise<string> {
  const { rows } = await session.query<{ server_version: string }>('SHOW server_version');
  const version = rows[0]?.server_version ?? '0';
  if (parseInt(version, 10) >= OLDEST_POSTGRES) return version;
  throw new DatabaseStartError(
    `Tally needs Postgres ${OLDEST_POSTGRES} or later, this is Postgres ${version}`,
  );
}

async function readApplied(session: pg.Client): Promise<Applied[]> {
  // Not to_regclass(): within a transaction that waited for the lock, it may still answer from the time before.
  const table = await session.query<{ there: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_class WHERE relname = '_prisma_migrations'
       AND relnamespace = current_schema()::regnamespace) AS there`,
  );
  if (table.rows[0]?.there !== true) return [];
  const { rows } = await session.query<Applied>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
  );
  return rows;
}

/**
 * Names of the migrations that the database lacks.
 * @throws DatabaseStartError when its history is not a beginning of ours
 */
function pending(applied: readonly Applied[], migrations: readonly Migration[]): string[] {
  const ours = new Map(migrations.map(({ name, script }) => [name, checksum(script)]));
  for (const { name, checksum: theirs, finished } of applied) {
    const expected = ours.get(name);
    if (expected === undefined) {
      throw new DatabaseStartError(
        `The database was migrated by a newer Tally (it has ${name}, unknown here): start that version, or a backup`,
      );
    }
    if (!finished) {
      throw new DatabaseStartError(
        `Another program began migration ${name} and did not finish it: see "prisma migrate resolve"`,
      );
    }
    if (theirs !== expected) {
      throw new DatabaseStartError(`Migration ${name} was changed after it was applied to this database`);
    }
  }
  const done = new Set(applied.map(({ name }) => name));
  return migrations.map(({ name }) => name).filter((name) => !done.has(name));
}

/** As Prisma computes it: SHA-256 of the script, in hex. */
const checksum = (script: string): string => createHash('sha256').update(script).digest('hex');
