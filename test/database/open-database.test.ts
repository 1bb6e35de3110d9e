import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { openDatabase } from '../../src/database/open-database.js';
import { createEmptyDatabase } from '../support/database.js';
import { makeScratch, query, type Scratch } from '../support/scratch.js';
import { waitFor } from '../support/wait-for.js';

const quiet = () => undefined;
const NOBODY = 'postgres://tally:very-secret@127.0.0.1:1/tally';
let scratch: Scratch;

beforeAll(async () => {
  scratch = await makeScratch();
  await (await startEmbeddedPostgres({ dataDir: scratch.folder, log: quiet, durable: false })).stop();
});

afterAll(() => scratch.remove());

const config = (DATABASE_URL?: string) => ({ DATABASE_URL, DATA_DIR: scratch.folder });

test('without a DATABASE_URL there is an embedded database with every table, and close stops it', async () => {
  const opened = await openDatabase(config(), quiet);
  expect(opened.embedded).toBe(true);
  expect(await query(opened.url, 'SELECT count(*)::int AS n FROM job_statuses')).toEqual([{ n: 0 }]);
  await opened.close();
  await expect(query(opened.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('the database of DATABASE_URL is migrated, and close leaves it alone', async () => {
  const database = await createEmptyDatabase();
  const opened = await openDatabase(config(database.url), quiet);
  expect(opened).toMatchObject({ url: database.url, embedded: false });
  await opened.close();
  expect(await query(database.url, 'SELECT count(*)::int AS n FROM job_statuses')).toEqual([{ n: 0 }]);
  await database.drop();
});

test('an outside database that comes up later is waited for', async () => {
  const options = { dataDir: scratch.folder, log: quiet, durable: false };
  const before = await startEmbeddedPostgres(options);
  await before.stop();

  const lines: string[] = [];
  const opening = openDatabase(config(before.url), (line) => void lines.push(line));
  await waitFor(() => lines.length > 0);
  const after = await startEmbeddedPostgres(options);
  expect(after.url).toBe(before.url);
  expect((await opening).embedded).toBe(false);
  expect(lines[0]).toMatch(/^Waiting for the database at 127\.0\.0\.1:\d+\/tally: connect ECONNREFUSED/);
  await after.stop();
});

test('an outside database that never comes is told in one sentence without its password', async () => {
  const failure = await openDatabase(config(NOBODY), quiet, 50).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    name: 'DatabaseStartError',
    message: expect.stringMatching(
      /^The database at 127\.0\.0\.1:1\/tally cannot be used within .* ECONNREFUSED/,
    ),
  });
  expect(String(failure)).not.toContain('very-secret');
});

test('a wrong password is told at once, since waiting does not make it right', async () => {
  const url = new URL(process.env['TALLY_TEST_DATABASE_URL']!);
  url.password = 'very-secret';
  const failure = await openDatabase(config(url.href), quiet).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    message: expect.stringMatching(/cannot be used: password authentication failed/),
  });
  expect(String(failure)).not.toContain('very-secret');
});
