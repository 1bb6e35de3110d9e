import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp, type Answer, type TestUser } from '../support/app.js';
import { sessionsWait } from '../support/locks.js';
import { waitFor } from '../support/wait-for.js';
import { upload } from '../jobs/upload-support.js';
import { expectError, JOBS, sleepJob } from './http-support.js';

const PENDING = 40;
const UPLOADS = 2;
/** A submission is refused at once when it is one too many, and long before one that waits for its turn (5 s). */
const QUICK_MS = 2_500;

let database: TestDatabase;
let app: TestApp;
let user: TestUser;
let sql: pg.Client;
/** Holds locks: what a transaction sees of the other sessions is the first that it saw. */
let locker: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await TestApp.start(database.url, {
    role: 'api',
    env: {
      MAX_WORKING_JOBS: '100000',
      MAX_PENDING_WRITES: String(PENDING),
      MAX_PENDING_BYTES: '100000',
      MAX_UPLOADS: String(UPLOADS),
    },
  });
  user = await app.addUser();
  sql = new pg.Client({ connectionString: database.url });
  locker = new pg.Client({ connectionString: database.url });
  await Promise.all([sql.connect(), locker.connect()]);
});
afterAll(async () => {
  await Promise.all([sql.end(), locker.end()]);
  await app.stop();
  await database.drop();
});

interface Timed {
  readonly answer: Answer;
  readonly ms: number;
}

async function timed(asked: Promise<Answer>): Promise<Timed> {
  const begun = performance.now();
  const answer = await asked;
  return { answer, ms: performance.now() - begun };
}

const jobsStored = async (): Promise<number> =>
  (await sql.query<{ n: number }>('SELECT count(*)::int AS n FROM job_statuses')).rows[0]!.n;

/** Nobody can add a job meanwhile; who reads is not hindered. */
async function whileJobsAreLocked(work: () => Promise<void>): Promise<void> {
  await locker.query('BEGIN; LOCK TABLE job_statuses IN EXCLUSIVE MODE');
  try {
    await work();
  } finally {
    await locker.query('ROLLBACK');
  }
}

describe('more submissions than can be taken', () => {
  test('are refused at once, while polls and health checks are answered; those that were let in are done', async () => {
    const { id } = (await app.post(JOBS, user, sleepJob())).body;
    const before = await jobsStored();
    let submissions: Promise<Timed>[] = [];
    await whileJobsAreLocked(async () => {
      submissions = Array.from({ length: 3 * PENDING }, () => timed(app.post(JOBS, user, sleepJob())));
      // Those of one account wait for one another, and one of them for the lock.
      await sessionsWait(sql);
      const reads = ['/healthz', '/readyz', `/api/v2/job_statuses/${id}.json`, `/api/v2/jobs/${id}.json`];
      for (const path of [...reads, ...reads, ...reads]) {
        const { answer, ms } = await timed(app.get(path, user));
        expect([path, answer.status]).toEqual([path, 200]);
        expect(ms).toBeLessThan(QUICK_MS);
      }
      let refused = 0;
      const counting = submissions.map((one) =>
        one.then(({ answer }) => (refused += answer.status === 503 ? 1 : 0)),
      );
      await waitFor(() => refused >= 2 * PENDING, { timeoutMs: QUICK_MS, what: 'the surplus to be refused' });
      void Promise.all(counting);
    });
    const answers = await Promise.all(submissions);
    const made = answers.filter(({ answer }) => answer.status === 202);
    const refused = answers.filter(({ answer }) => answer.status !== 202);
    for (const { answer } of refused) {
      expectError(answer, 503, 'Unavailable');
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    expect(made.length).toBeGreaterThanOrEqual(8);
    expect(refused.length).toBeGreaterThanOrEqual(2 * PENDING);
    expect(await jobsStored()).toBe(before + made.length);
    const after = await Promise.all(Array.from({ length: PENDING }, () => app.post(JOBS, user, sleepJob())));
    expect(after.map(({ status }) => status)).toEqual(after.map(() => 202));
  }, 30_000);

  test('whose turn does not come in time are refused, and their Idempotency-Keys are free again', async () => {
    const before = await jobsStored();
    let last: Timed | undefined;
    let first: Promise<Answer> | undefined;
    await whileJobsAreLocked(async () => {
      first = app.post(JOBS, user, sleepJob());
      await sessionsWait(sql);
      last = await timed(app.post(JOBS, user, sleepJob(), { 'Idempotency-Key': 'late' }));
    });
    expectError(last!.answer, 503, 'Unavailable');
    expect(last!.ms).toBeGreaterThan(4_000);
    expect((await first)?.status).toBe(202);
    const again = await app.post(JOBS, user, sleepJob(), { 'Idempotency-Key': 'late' });
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([202, null]);
    expect(await jobsStored()).toBe(before + 2);
  }, 30_000);

  test('a kill does not wait behind submissions', async () => {
    const { id } = (await app.post(JOBS, user, sleepJob())).body;
    let others: Promise<Answer>[];
    // A lock that new jobs wait for, and changes of those that there are do not.
    await locker.query('BEGIN; LOCK TABLE task_chunks IN SHARE ROW EXCLUSIVE MODE');
    try {
      others = Array.from({ length: 20 }, () => app.post(JOBS, user, sleepJob()));
      await sessionsWait(sql);
      const { answer, ms } = await timed(app.call('POST', `/api/v2/jobs/${id}/kill.json`, user));
      expect([answer.status, answer.body.status]).toEqual([200, 'killed']);
      expect(ms).toBeLessThan(QUICK_MS);
    } finally {
      await locker.query('ROLLBACK');
    }
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual(others.map(() => 202));
  }, 30_000);

  test('bodies of more bytes than may be held are refused before they are read, and one alone never', async () => {
    const large = sleepJob(6_000);
    const bytes = JSON.stringify(large).length;
    expect(bytes).toBeGreaterThan(100_000);
    expect((await app.post(JOBS, user, large)).status).toBe(202);
    await whileJobsAreLocked(async () => {
      const first = app.post(JOBS, user, large);
      await sessionsWait(sql);
      expectError(await app.post(JOBS, user, sleepJob()), 503, 'Unavailable');
      await locker.query('ROLLBACK; BEGIN');
      expect((await first).status).toBe(202);
    });
    expect((await app.post(JOBS, user, sleepJob())).status).toBe(202);
  }, 30_000);

  test('streams that are one too many are refused, and a place is free when one of the others has ended', async () => {
    const query = { type: 'demo.sleep' };
    const writers: WritableStreamDefaultWriter<Uint8Array>[] = [];
    const open = Array.from({ length: UPLOADS }, () => {
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      writers.push(writable.getWriter());
      return upload(app, user, readable, query);
    });
    // So many that they are written while they come.
    const begun = new TextEncoder().encode('{"ms":0}\n'.repeat(30_000));
    await Promise.all(writers.map((writer) => writer.write(begun)));
    await waitFor(async () => (await sql.query('SELECT 1 FROM job_uploads')).rowCount === UPLOADS, {
      what: 'the uploads to begin',
    });
    const surplus = await upload(app, user, '{"ms":1}\n', query);
    expect([surplus.status, surplus.headers.get('retry-after')]).toEqual([503, '1']);
    await Promise.all(writers.map((writer) => writer.close()));
    expect((await Promise.all(open)).map(({ status }) => status)).toEqual([202, 202]);
    expect((await upload(app, user, '{"ms":1}\n', query)).status).toBe(202);
  }, 30_000);
});
