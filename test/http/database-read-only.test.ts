import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { succeeded } from '../../src/jobs/task-handler.js';
import { TestApp, type TestUser } from '../support/app.js';
import { createTestDatabase, onServer, type TestDatabase } from '../support/database.js';
import { single, tasks } from '../support/handlers.js';
import { waitFor } from '../support/wait-for.js';
import { ANYTHING, expectError, JOBS, rowsLeft, sleepJob, STATUSES } from './http-support.js';

/** Two processes of the service, one of them with a worker, on a database that stops taking writes. */

let database: TestDatabase;
let api: TestApp;
let worker: TestApp;
let user: TestUser;
let id: string;

const slow = { calls: 0, release: (): void => undefined };
const waiting = new Promise<void>((resolve) => (slow.release = resolve));
const handlers = [
  ANYTHING,
  single(
    async () => {
      slow.calls += 1;
      await waiting;
      return succeeded(null);
    },
    { type: 'test.slow' },
  ),
  single(
    async (_, { tx }) => {
      slow.calls += 1;
      await waiting;
      await tx.$executeRaw`UPDATE accounts SET subdomain = subdomain`;
      return succeeded(null);
    },
    { type: 'test.writes', transaction: true },
  ),
];

beforeAll(async () => {
  database = await createTestDatabase();
  api = await TestApp.start(database.url, { role: 'api', handlers });
  worker = await TestApp.start(database.url, { handlers: handlers.slice(1), env: { LEASE_SECONDS: '30' } });
  user = await api.addUser();
  id = (await api.post(JOBS, user, { type: 'test.anything', tasks: tasks(1) })).body.id;
});
afterAll(async () => {
  slow.release();
  await Promise.all([api.stop(), worker.stop()]);
  await database.drop();
});

/** As an operator does, and as it is after a failover to a standby: for every connection, from now on. */
async function setReadOnly(value: 'on' | 'off'): Promise<void> {
  const name = new URL(database.url).pathname.slice(1);
  await onServer(`ALTER DATABASE ${name} SET default_transaction_read_only = ${value}`);
  await onServer(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`);
}

const writes = () =>
  [
    ['POST', JOBS, sleepJob()],
    ['POST', JOBS, sleepJob(), { 'Idempotency-Key': 'while-read-only' }],
    ['POST', `${JOBS}?type=demo.sleep`, '{"ms":1}\n', { 'content-type': 'application/x-ndjson' }],
    ['POST', '/api/v2/tickets/create_many.json', { tickets: [{ title: 'a', description: 'b' }] }],
    ['POST', `/api/v2/jobs/${id}/kill.json`],
    ['POST', `/api/v2/jobs/${id}/pause.json`],
    ['POST', `/api/v2/jobs/${id}/resume.json`],
  ] as const;

const reads = () => [
  `/api/v2/job_statuses/${id}.json`,
  STATUSES,
  `/api/v2/job_statuses/show_many.json?ids=${id}`,
  JOBS,
  `/api/v2/jobs/${id}.json`,
  `/api/v2/jobs/${id}/results.json`,
  `/api/v2/jobs/${id}/results.csv`,
  '/api/v2/tickets.json',
];

describe('while the database is read-only', () => {
  test('every write is 503 and says so, every read is answered, and what runs loses nothing and costs no attempt', async () => {
    const jobs = [];
    for (const type of ['test.slow', 'test.writes'])
      jobs.push((await api.post(JOBS, user, { type, tasks: tasks(2) })).body.id);
    await waitFor(() => slow.calls >= 3, { what: 'the tasks to begin' });
    const before = await rowsLeft(api);
    const newcomer = await api.addUser('newcomer@example.com');

    await setReadOnly('on');
    slow.release();
    for (const app of [api, worker]) {
      await waitFor(async () => (await app.get('/readyz', null)).status === 503);
      const ready = await app.get('/readyz', null);
      expectError(ready, 503, 'Unavailable');
      expect(ready.body.description).toBe('The database is read-only');
    }
    for (const [method, path, body, headers] of writes()) {
      const answer = await api.call(method, path, user, body, headers);
      expect([path, answer.status, answer.body.error]).toEqual([path, 503, 'Unavailable']);
      expect(answer.body.description).toBe('The database is read-only');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    for (const path of reads()) expect([path, (await api.get(path, user)).status]).toEqual([path, 200]);
    expect((await api.get(STATUSES, newcomer)).status).toBe(200);
    expect(await rowsLeft(api)).toBe(before);
    await setReadOnly('off');
    for (const app of [api, worker])
      await waitFor(async () => (await app.get('/readyz', null)).status === 200, { timeoutMs: 15_000 });
    for (const job of jobs) {
      const path = `/api/v2/jobs/${job}`;
      await waitFor(async () => (await api.get(path, user)).body.status === 'completed', {
        timeoutMs: 15_000,
      });
      const results = (await api.get(`${path}/results`, user)).body.results;
      expect(results.map((result: { success: boolean }) => result.success)).toEqual([true, true]);
      expect(results.map((result: { attempts: number }) => result.attempts)).toEqual([1, 1]);
    }
    const again = await api.post(JOBS, user, sleepJob(1, { start_at: '2100-01-01T00:00:00Z' }), {
      'Idempotency-Key': 'while-read-only',
    });
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([202, null]);
  }, 60_000);
});
