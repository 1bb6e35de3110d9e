import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import pg from 'pg';
import { SlowUpload } from '../jobs/upload-support.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { ADMIN, Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

const AUTHORIZATION = `Basic ${Buffer.from(`${ADMIN.email}:${ADMIN.password}`).toString('base64')}`;
/** UPLOAD_LINES=1000000 prints the rate and the memory of a large one, and of one that is cut. */
const LINES = Number(process.env['UPLOAD_LINES'] ?? 300_000);
/** Of the whole process, which has 150 before the first line; a million lines take it to 170. */
const RSS_MAX_MB = 250;

let database: TestDatabase;
let client: pg.Client;
const services: Service[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
  await client.query('TRUNCATE job_statuses, task_chunks, job_uploads, idempotency_keys');
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

async function start(env: Record<string, string>): Promise<Service> {
  const service = await Service.start({ DATABASE_URL: database.url, ...env });
  services.push(service);
  return service;
}

const count = async (table: string): Promise<number> =>
  Number((await client.query<{ n: string }>(`SELECT count(*) AS n FROM ${table}`)).rows[0]!.n);

/** Of the process, in megabytes: now, or the most that it ever was. */
async function memory(service: Service, of: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${service.child.pid}/status`, 'utf8');
  return Number(new RegExp(`${of}:\\s+(\\d+)`).exec(status)![1]) / 1_024;
}

const line = (n: number) => `{"title":"ticket ${n}","description":"${'x'.repeat(60)}"}\n`;

/** A thousand lines a piece. */
function* pieces(total: number): Generator<Buffer> {
  for (let n = 0; n < total; n += 1_000)
    yield Buffer.from(Array.from({ length: Math.min(1_000, total - n) }, (_, at) => line(n + at)).join(''));
}

function tell(what: string): void {
  if (process.env['UPLOAD_LINES']) console.log(what);
}

test('hundreds of thousands of lines are taken in constant memory', async () => {
  const service = await start({ ROLE: 'api', LEASE_SECONDS: '15' });
  const before = await memory(service, 'VmRSS');
  const started = performance.now();
  const response = await fetch(`${service.origin}/api/v2/jobs.json?type=tickets.create`, {
    method: 'POST',
    headers: { authorization: AUTHORIZATION, 'content-type': 'application/x-ndjson' },
    body: Readable.toWeb(Readable.from(pieces(LINES))) as ReadableStream<Uint8Array>,
    duplex: 'half',
  });
  const seconds = (performance.now() - started) / 1_000;
  expect([response.status, await response.json()]).toMatchObject([202, { total: LINES }]);
  const most = await memory(service, 'VmHWM');
  tell(
    `${LINES} lines: ${Math.round(LINES / seconds)}/s, ${Math.round(before)} → ${Math.round(most)} MB at most`,
  );
  expect(most).toBeLessThan(RSS_MAX_MB);
  const { rows } = await client.query(
    `SELECT count(*)::int AS chunks, sum(size)::int AS tasks, max(size) AS largest, array_agg(DISTINCT state) AS states
       FROM task_chunks`,
  );
  expect(rows).toEqual([
    { chunks: expect.any(Number), tasks: LINES, largest: expect.any(Number), states: ['ready'] },
  ]);
}, 120_000);

const TABLES = ['task_chunks', 'job_uploads', 'job_statuses', 'idempotency_keys'];
/** How many each of them has; one after the other, as they share a connection. */
async function rows(): Promise<number[]> {
  const counts: number[] = [];
  for (const table of TABLES) counts.push(await count(table));
  return counts;
}

test('a large upload whose connection is cut at nine tenths leaves no row, in constant memory', async () => {
  // A lease that does not run out: what is removed, the upload itself has removed.
  const service = await start({ ROLE: 'api', LEASE_SECONDS: '3600' });
  const upload = await SlowUpload.start(service.origin, AUTHORIZATION, 'type=tickets.create', [
    'Idempotency-Key: cut',
  ]);
  for (const piece of pieces(LINES * 0.9)) await upload.send(piece);
  const written = async () =>
    (await client.query<{ n: number }>('SELECT coalesce(sum(size), 0)::int AS n FROM task_chunks')).rows[0]!
      .n;
  await waitFor(async () => (await written()) > LINES / 2, { timeoutMs: 60_000, what: 'most to be written' });
  const [chunks, ...others] = await rows();
  expect(others).toEqual([1, 0, 1]);
  const started = performance.now();
  upload.cut();
  await waitFor(async () => (await rows()).every((n) => n === 0), {
    timeoutMs: 60_000,
    what: 'nothing to be left',
  });
  const most = await memory(service, 'VmHWM');
  tell(
    `cut at nine tenths: ${chunks} chunks gone after ${Math.round(performance.now() - started)} ms, ${Math.round(most)} MB at most`,
  );
  expect(most).toBeLessThan(RSS_MAX_MB);
}, 180_000);

test('kill -9 half-way through an upload leaves nothing, once its lease has run out', async () => {
  const doomed = await start({ ROLE: 'api' });
  const upload = await SlowUpload.start(doomed.origin, AUTHORIZATION, 'type=tickets.create', [
    'Idempotency-Key: doomed',
  ]);
  upload.socket.on('error', () => undefined);
  await upload.send(Array.from({ length: 50_000 }, (_, n) => line(n)).join(''));
  await waitFor(async () => (await count('task_chunks')) > 0, { what: 'chunks to be written' });
  await doomed.stop('SIGKILL');
  upload.cut();
  expect([await count('job_uploads'), await count('idempotency_keys'), await count('job_statuses')]).toEqual([
    1, 1, 0,
  ]);
  await start({ ROLE: 'worker' });
  for (const table of ['task_chunks', 'job_uploads', 'idempotency_keys'])
    await waitFor(async () => (await count(table)) === 0, {
      timeoutMs: 10_000,
      what: `${table} to be empty`,
    });
  expect(await count('job_statuses')).toBe(0);
});
