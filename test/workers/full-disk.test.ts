import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { succeeded } from '../../src/jobs/task-handler.js';
import { ANYTHING, expectError, JOBS } from '../http/http-support.js';
import { TestApp, type TestUser } from '../support/app.js';
import { single, tasks } from '../support/handlers.js';
import { hasSmallDisks, SmallDisk } from '../support/small-disk.js';
import { waitFor } from '../support/wait-for.js';

const LARGE = 'x'.repeat(60_000);
/** A deadlock is tried again so often before it is the handler's failure. */
const REPLAYS = 10;

let disk: SmallDisk;
let app: TestApp;
let user: TestUser;

const seen = { results: 0, writes: 0, release: (): void => undefined };
const waiting = new Promise<void>((resolve) => (seen.release = resolve));
const handlers = [
  ANYTHING,
  single(
    async () => {
      seen.results += 1;
      await waiting;
      return succeeded({ bytes: LARGE });
    },
    { type: 'test.results' },
  ),
  single(
    async (_, { tx, accountId }) => {
      seen.writes += 1;
      await waiting;
      await tx.$executeRaw`INSERT INTO tickets (account_id, title, description) SELECT ${accountId}::int, gen_random_uuid(), '' FROM generate_series(1, 2000)`;
      return succeeded(null);
    },
    { type: 'test.writes', transaction: true },
  ),
];

/** Rows that submissions of this type have left. */
async function tracesOf(type: string): Promise<number> {
  const [row] = await app.prisma.$queryRaw<{ rows: number }[]>`
    SELECT ((SELECT count(*) FROM job_statuses WHERE type = ${type}) + (SELECT count(*) FROM job_uploads)
          + (SELECT count(*) FROM task_chunks WHERE type = ${type})
          + (SELECT count(*) FROM idempotency_keys))::int AS rows`;
  return row!.rows;
}

// Where nobody may mount a disk, for want of user namespaces, a full one cannot be had.
const onASmallDisk = hasSmallDisks() ? describe : describe.skip;

onASmallDisk('while the disk of the database is full (skipped where no disk can be mounted)', () => {
  beforeAll(async () => {
    disk = await SmallDisk.start();
    app = await TestApp.start(disk.url, { handlers, env: { LEASE_SECONDS: '60' } });
    user = await app.addUser();
  }, 60_000);
  afterAll(async () => {
    seen.release();
    try {
      await disk.empty();
      await app.stop();
    } finally {
      await disk.stop();
    }
  });

  test('submissions are 503 and leave nothing, polls go on, no attempt is charged, and all is well when there is room', async () => {
    const jobs: string[] = [];
    for (const type of ['test.results', 'test.writes'])
      jobs.push((await app.post(JOBS, user, { type, tasks: tasks(8) })).body.id);
    await waitFor(() => seen.results === 8 && seen.writes === 1, { what: 'the tasks to begin' });
    await disk.fill();
    seen.release();
    const large = { type: 'test.anything', tasks: Array.from({ length: 40 }, () => ({ note: LARGE })) };
    const lines = large.tasks.map((task) => JSON.stringify(task)).join('\n');
    for (const [path, body, type] of [
      [JOBS, large, 'application/json'],
      [`${JOBS}?type=test.anything`, lines, 'application/x-ndjson'],
    ] as const) {
      for (const key of [{}, { 'Idempotency-Key': type }] as Record<string, string>[]) {
        const answer = await app.post(path, user, body, { 'content-type': type, ...key });
        expectError(answer, 503, 'Unavailable');
        expect(answer.body.description).toBe('The database has no space left');
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      }
    }
    const ready = await app.get('/readyz', null);
    expectError(ready, 503, 'Unavailable');
    expect(ready.body.description).toBe('The database has no space left');
    await waitFor(() => seen.writes > REPLAYS + 3, {
      timeoutMs: 30_000,
      what: 'the transaction to be tried again and again',
    });
    expect(await tracesOf('test.anything')).toBe(0);
    for (const id of jobs) {
      const { status, body } = await app.get(`/api/v2/jobs/${id}`, user);
      expect([status, body.status, body.counts.failed, body.counts.retrying]).toEqual([200, 'working', 0, 0]);
    }

    await disk.empty();
    for (const id of jobs) {
      await waitFor(async () => (await app.get(`/api/v2/jobs/${id}`, user)).body.status === 'completed', {
        timeoutMs: 20_000,
        what: 'the job to end',
      });
      const { results } = (await app.get(`/api/v2/jobs/${id}/results`, user)).body;
      expect(results.map(({ success, attempts }: any) => [success, attempts])) // eslint-disable-line @typescript-eslint/no-explicit-any
        .toEqual(Array.from({ length: 8 }, () => [true, 1]));
    }
    await waitFor(async () => (await app.get('/readyz', null)).status === 200, { timeoutMs: 15_000 });
    const again = await app.post(JOBS, user, large, { 'Idempotency-Key': 'application/json' });
    expect([again.status, again.body.error, again.headers.get('idempotency-replayed')]).toEqual([
      202,
      undefined,
      null,
    ]);
  }, 90_000);
});
