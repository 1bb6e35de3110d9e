import { spawnSync } from 'node:child_process';
import { appendFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { findPostmaster, isPostmaster } from '../../src/database/embedded/postmaster.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { makeScratch, query, type Scratch } from '../support/scratch.js';
import { waitFor } from '../support/wait-for.js';

let scratch: Scratch;
let data: string;
let started: EmbeddedPostgres[] = [];

// One folder for all of them, since making a database is the slow part: each test begins and ends with a stopped server.
beforeAll(async () => {
  scratch = await makeScratch();
  data = join(scratch.folder, 'postgres');
});

afterEach(async () => {
  await Promise.all(started.map((postgres) => postgres.stop()));
  started = [];
});

afterAll(() => scratch.remove());

async function start(log: (line: string) => void = () => undefined): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir: scratch.folder, log, durable: false });
  started.push(postgres);
  return postgres;
}

async function pid(): Promise<number> {
  return (await waitFor(() => findPostmaster(data))).pid;
}

test('the first start makes a UTF-8 database that listens on loopback alone and wants its password', async () => {
  const abandoned = `.postgres-init-${spawnSync(process.execPath, ['--version']).pid}-00`;
  await mkdir(join(scratch.folder, abandoned));

  const lines: string[] = [];
  const postgres = await start((line) => lines.push(line));
  const { password } = new URL(postgres.url);

  expect(postgres.ownsServer).toBe(true);
  expect(await query(postgres.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
  expect(
    await query(
      postgres.url,
      `SELECT current_database() AS name, pg_encoding_to_char(encoding) AS encoding, datlocale AS locale
       FROM pg_database WHERE datname = current_database()`,
    ),
  ).toEqual([{ name: 'tally', encoding: 'UTF8', locale: 'C.UTF-8' }]);
  await expect(query(postgres.url.replace(password, 'wrong'), 'SELECT 1')).rejects.toMatchObject({
    code: '28P01',
  });
  expect((await stat(join(data, 'tally.password'))).mode & 0o777).toBe(0o600);
  expect(lines.join('\n')).not.toContain(password);
  expect(await readdir(scratch.folder)).not.toContain(abandoned);
});

test('a server that was killed is started again on the same port with everything that was committed', async () => {
  const lines: string[] = [];
  const postgres = await start((line) => lines.push(line));
  await query(postgres.url, 'CREATE TABLE kept AS SELECT 1 AS n');
  const before = await pid();

  process.kill(before, 'SIGKILL');

  const rows = await waitFor(() => query(postgres.url, 'SELECT n FROM kept'), { timeoutMs: 15_000 });
  expect(rows).toEqual([{ n: 1 }]);
  expect(await pid()).not.toBe(before);
  await waitFor(() => lines.some((line) => line.startsWith('Embedded Postgres is back')));
});

test('a stopped server is gone and the next start has its data and its port', async () => {
  const first = await start();
  await query(first.url, 'CREATE TABLE stays AS SELECT 1 AS n');
  const before = await pid();
  await first.stop();
  expect(await isPostmaster(before, data)).toBe(false);

  const second = await start();
  expect(second.url).toBe(first.url);
  expect(await query(second.url, 'SELECT n FROM stays')).toEqual([{ n: 1 }]);
});

test('stop leaves the server to another that uses it, and the last one stops it', async () => {
  const first = await start();
  const second = await start();
  expect([first.ownsServer, second.ownsServer]).toEqual([true, false]);
  const server = await pid();

  await first.stop();
  expect(await isPostmaster(server, data)).toBe(true);
  expect(await query(second.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);

  await second.stop();
  expect(await isPostmaster(server, data)).toBe(false);
});

test('two that stop at once leave no server behind', async () => {
  const both = [await start(), await start()];
  const server = await pid();
  await Promise.all(both.map((postgres) => postgres.stop()));
  expect(await isPostmaster(server, data)).toBe(false);
});

test('a pid file that names a living program other than Postgres does not keep it from starting', async () => {
  await (await start()).stop();
  const stale = [process.pid, data, 1, 5432, '', '127.0.0.1', '', 'ready', ''].join('\n');
  await writeFile(join(data, 'postmaster.pid'), stale, { mode: 0o600 });

  const postgres = await start();
  expect(postgres.ownsServer).toBe(true);
  expect(await query(postgres.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
});

test('a server that does not start says why, in the last lines of its log', async () => {
  await (await start()).stop();
  const settings = join(data, 'postgresql.auto.conf');
  const before = await readFile(settings, 'utf8');
  await appendFile(settings, 'no_such_setting = 1\n');

  await expect(start()).rejects.toThrow(
    /did not start: .*unrecognized configuration parameter "no_such_setting"/,
  );
  expect(await readFile(join(scratch.folder, 'postgres.log'), 'utf8')).toContain('no_such_setting');
  await writeFile(settings, before);
});

test('data of another major version of Postgres is refused with a sentence', async () => {
  await (await start()).stop();
  await writeFile(join(data, 'PG_VERSION'), '17\n');

  await expect(start()).rejects.toThrow(/is of Postgres 17, this Tally brings Postgres 18/);
  await writeFile(join(data, 'PG_VERSION'), '18\n');
});
