import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { migrate, MIGRATIONS } from '../../src/database/migrate.js';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/database.js';
import { query } from '../support/scratch.js';
import { waitFor } from '../support/wait-for.js';

const quiet = () => undefined;
let database: TestDatabase;
let folder: string;

beforeEach(async () => {
  database = await createEmptyDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tally-migrations-'));
  await cp(MIGRATIONS, folder, { recursive: true });
});

afterEach(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

async function addMigration(name: string, script: string): Promise<void> {
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, 'migration.sql'), script);
}

async function ours(): Promise<string[]> {
  return (await readdir(MIGRATIONS)).filter((name) => /^\d/.test(name)).sort();
}

const tables = () => query(database.url, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`);
const history = () =>
  query(
    database.url,
    'SELECT migration_name, finished_at IS NOT NULL AS finished FROM _prisma_migrations ORDER BY 1',
  );

test('an empty database gets every migration once, and a second call finds nothing to do', async () => {
  const names = await ours();
  expect(await migrate(database.url, quiet)).toEqual({ applied: names });
  expect(await migrate(database.url, quiet)).toEqual({ applied: [] });
  expect(await history()).toEqual(names.map((migration_name) => ({ migration_name, finished: true })));
});

test('of processes that migrate at once one does it and all of them succeed', async () => {
  const results = await Promise.all([1, 2, 3].map(() => migrate(database.url, quiet)));
  expect(results.flatMap(({ applied }) => applied)).toEqual(await ours());
  expect(await history()).toHaveLength((await ours()).length);
});

test('a migration that fails is named with its reason, and nothing of it is kept', async () => {
  await addMigration('99990101000000_bad', `CREATE TABLE half (n int); SELECT 'not a number'::int;`);
  await expect(migrate(database.url, quiet, folder)).rejects.toThrow(
    /Migration 99990101000000_bad failed and nothing of it was kept: invalid input syntax for type integer/,
  );
  expect(await tables()).toEqual([]);
  expect((await migrate(database.url, quiet)).applied).toEqual(await ours());
});

test('a connection cut in the middle of a migration leaves nothing, and the next call does it all', async () => {
  await addMigration('99990101000000_slow', `CREATE TABLE half (n int); SELECT pg_sleep(60);`);
  const migrating = migrate(database.url, quiet, folder).catch((error: unknown) => error);
  await waitFor(
    async () => {
      const cut = await query(
        database.url,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event = 'PgSleep'`,
      );
      return cut.length === 1;
    },
    { timeoutMs: 15_000, what: 'the slow migration to be under way and cut' },
  );
  expect(await migrating).toMatchObject({ name: 'DatabaseStartError' });
  expect(await tables()).toEqual([]);
  expect((await migrate(database.url, quiet)).applied).toEqual(await ours());
});

test('a database of a newer version is refused with a sentence', async () => {
  await addMigration('99990101000000_later', 'CREATE TABLE later (n int);');
  await migrate(database.url, quiet, folder);
  await expect(migrate(database.url, quiet)).rejects.toThrow(
    /was migrated by a newer Tally \(it has 99990101000000_later, unknown here\)/,
  );
});

test('a migration that was changed after it was applied is refused with a sentence', async () => {
  await migrate(database.url, quiet);
  const [name] = await ours();
  await writeFile(join(folder, name!, 'migration.sql'), '-- nothing any more');
  await expect(migrate(database.url, quiet, folder)).rejects.toThrow(/was changed after it was applied/);
});

test('a test database comes with the tables of the newest migration', async () => {
  const copy = await createTestDatabase();
  expect(await migrate(copy.url, quiet)).toEqual({ applied: [] });
  await copy.drop();
  await expect(query(copy.url, 'SELECT 1')).rejects.toMatchObject({ code: '3D000' });
});
