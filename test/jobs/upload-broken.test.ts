import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { UploadStore } from '../../src/jobs/upload.store.js';
import { TestApp, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { countStatements } from '../support/statements.js';
import { waitFor } from '../support/wait-for.js';
import { ANYTHING, authorizationOf } from '../http/http-support.js';
import { lines, NO_TRACES, SlowUpload, traces } from './upload-support.js';

/** Two processes of the API on one database; a lease is so long that it must not run out by itself. */
let database: TestDatabase;
let a: TestApp;
let user: TestUser;
beforeAll(async () => {
  database = await createTestDatabase();
  a = await start();
  user = await a.addUser();
});
afterAll(async () => {
  await a.stop();
  await database.drop();
});
afterEach(async () => {
  await a.prisma.$executeRaw`TRUNCATE job_statuses, task_chunks, job_uploads, idempotency_keys`;
});

const start = (env: Record<string, string> = {}) =>
  TestApp.start(database.url, { role: 'api', handlers: [ANYTHING], env: { LEASE_SECONDS: '3600', ...env } });

const begin = (app: TestApp, headers: readonly string[] = ['Connection: close']) =>
  SlowUpload.start(app.origin, authorizationOf(user), 'type=test.anything', headers);

/** Enough for some chunks to be written. */
const MUCH = lines(60_000, (n) => ({ n, text: 'x'.repeat(20) }));

/** Sends them, and waits until some are in the database. */
async function sendMuch(upload: SlowUpload): Promise<void> {
  await upload.send(MUCH);
  await waitFor(async () => (await traces(a))['chunks']! > 0, { what: 'chunks to be written' });
}

const expire = () =>
  a.prisma.$executeRaw`UPDATE job_uploads SET lease_expires_at = clock_timestamp() - interval '1 second'`;

const nothingLeft = () =>
  waitFor(async () => JSON.stringify(await traces(a)) === JSON.stringify(NO_TRACES), {
    what: 'nothing to be left',
  });

test('what is being uploaded is seen by nobody: no worker, no list, no status', async () => {
  const worker = await TestApp.start(database.url, { role: 'all', handlers: [ANYTHING] });
  const upload = await begin(a);
  try {
    await sendMuch(upload);
    expect(await worker.worker['store'].claim(CLAIM)).toEqual({
      leases: [],
      contended: false,
      suspects: false,
    });
    expect((await a.get('/api/v2/job_statuses.json', user)).body.job_statuses).toEqual([]);
    const [row] = await a.prisma.$queryRaw<{ id: string }[]>`SELECT job_id::text AS id FROM job_uploads`;
    for (const path of ['job_statuses', 'jobs'])
      expect((await a.get(`/api/v2/${path}/${row!.id}.json`, user)).status).toBe(404);
    expect(await traces(a)).toMatchObject({ jobs: 0, uploads: 1 });
    const answer = await upload.end();
    expect(answer.status).toBe(202);
    const [, id] = /"id":"(\w+)"/.exec(answer.text)!;
    await waitFor(async () => (await a.get(`/api/v2/jobs/${id}`, user)).body.status === 'completed', {
      timeoutMs: 25_000,
    });
  } finally {
    upload.cut();
    await worker.stop();
  }
});

const CLAIM = {
  worker: 'test',
  types: [{ type: 'test.anything', taskPlaces: 1, isWhole: false, takesLane: false, atOnce: 1, limit: null }],
  places: 1,
  lanes: 1,
  chunks: 1,
  leaseMs: 1_000,
  accountLimit: null,
};

test('of a few lines nothing is written before the last one is there, and then all in one statement', async () => {
  const [uploads, chunks] = [countStatements(/job_uploads/), countStatements(/INSERT INTO task_chunks/)];
  try {
    const cut = await begin(a);
    await cut.send(lines(1_000));
    cut.cut();
    const upload = await begin(a);
    for (let n = 0; n < 4; n += 1) await upload.send(lines(250));
    expect((await upload.end()).status).toBe(202);
    expect([uploads.count, chunks.count]).toEqual([0, 1]);
    expect(await traces(a)).toMatchObject({ jobs: 1, uploads: 0 });
    const [{ size, tasks }] = await a.prisma.$queryRaw<[{ size: number; tasks: number }]>`
      SELECT sum(size)::int AS size, sum(json_array_length(tasks))::int AS tasks FROM task_chunks`;
    expect([size, tasks]).toEqual([1_000, 1_000]);
  } finally {
    uploads.stop();
    chunks.stop();
  }
});

test('a connection that is cut at nine tenths leaves no row in any table', async () => {
  const upload = await begin(a, ['Idempotency-Key: cut']);
  await sendMuch(upload);
  expect(await traces(a)).toMatchObject({ jobs: 0, uploads: 1, keys: 1 });
  upload.cut();
  await nothingLeft();
});

test('a body that ends before its last chunk leaves nothing', async () => {
  const upload = await begin(a);
  await sendMuch(upload);
  upload.socket.end();
  await nothingLeft();
});

test('half of a gzip leaves nothing', async () => {
  const upload = await begin(a, ['Content-Encoding: gzip', 'Connection: close']);
  const bytes = gzipSync(MUCH);
  await upload.send(bytes.subarray(0, bytes.length - 100));
  const answer = await upload.end();
  expect([answer.status, answer.text]).toEqual([400, expect.stringContaining('whole gzip')]);
  await nothingLeft();
});

test('an upload that is refused is answered at once, while its sender has more to say, and nothing is left', async () => {
  const upload = await begin(a, []);
  await sendMuch(upload);
  await upload.send('{"n":\n');
  const answer = await upload.firstAnswer();
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).toContain('Line 60001: ');
  await nothingLeft();
  // The rest is read and thrown away, so a client that writes all before it reads is not stuck, and gets its connection back.
  for (let n = 0; n < 5; n += 1) await upload.send(MUCH);
  upload.socket.write('0\r\n\r\n');
  upload.socket.write(`GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  expect(await upload.firstAnswer()).toMatch(/^HTTP\/1\.1 200 /);
  expect(await traces(a)).toEqual(NO_TRACES);
});

test('one without credentials, of a wrong user, or of an unknown type is answered before its body is read', async () => {
  for (const [authorization, query, status] of [
    ['Basic bm86Ym9keQ==', 'type=test.anything', 401],
    [authorizationOf(user), 'type=nope', 422],
    [authorizationOf(user), '', 422],
  ] as const) {
    const upload = await SlowUpload.start(a.origin, authorization, query);
    expect(await upload.firstAnswer()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    upload.cut();
  }
  expect(await traces(a)).toEqual(NO_TRACES);
});

test('a process that starts and sweeps leaves the live upload of another one alone', async () => {
  const upload = await begin(a);
  await sendMuch(upload);
  const b = await TestApp.start(database.url, { role: 'all', handlers: [ANYTHING] });
  try {
    expect(await b.app.get(UploadStore).removeExpired()).toBe(false);
    await upload.send(lines(10));
    const answer = await upload.end();
    expect(answer.status).toBe(202);
    expect(answer.text).toContain('"total":60010,');
  } finally {
    await b.stop();
  }
});

test('what a dead process left goes when its lease has run out: at the start of an API process', async () => {
  const upload = await begin(a);
  await sendMuch(upload);
  await expire();
  const b = await start();
  try {
    await nothingLeft();
  } finally {
    await b.stop();
    upload.cut();
  }
});

test('and by the sweep of any worker', async () => {
  const worker = await TestApp.start(database.url, { role: 'worker', handlers: [ANYTHING] });
  try {
    const upload = await begin(a);
    await sendMuch(upload);
    await expire();
    await nothingLeft();
    upload.cut();
  } finally {
    await worker.stop();
  }
});

test('an upload whose lease has run out is not sealed, swept or not, and what is sent after that is not written', async () => {
  for (const sweeps of [false, true]) {
    const upload = await begin(a);
    await sendMuch(upload);
    await expire();
    if (sweeps) while (await a.app.get(UploadStore).removeExpired());
    await upload.send(lines(20_000, (n) => ({ n, text: 'x'.repeat(100) })));
    const answer = await upload.end();
    expect([answer.status, answer.text]).toEqual([503, expect.stringMatching(/retry-after: 1/i)]);
    await nothingLeft();
  }
});

test('an upload of which a chunk is gone is not sealed', async () => {
  const upload = await begin(a);
  await sendMuch(upload);
  await a.prisma.$executeRaw`DELETE FROM task_chunks WHERE first_position = 0`;
  expect((await upload.end()).status).toBe(503);
  await nothingLeft();
});

test('a process that stops gives an upload its time, then refuses it and leaves nothing', async () => {
  const b = await start({ DRAIN_SECONDS: '0' });
  const upload = await begin(b);
  await sendMuch(upload);
  const answer = upload.firstAnswer();
  await b.stop();
  expect(await answer).toMatch(/^HTTP\/1\.1 503 /);
  await nothingLeft();
});
