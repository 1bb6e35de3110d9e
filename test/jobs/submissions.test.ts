import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp, type Answer, type TestUser } from '../support/app.js';
import { sessionsWait } from '../support/locks.js';
import { waitFor } from '../support/wait-for.js';

const JOBS = '/api/v2/jobs.json';
const MAX_WORKING = 12;

let database: TestDatabase;
let app: TestApp;
let user: TestUser;
let sql: pg.Client;
/** Accounts: one a test, so that its jobs are its own. */
let made = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await TestApp.start(database.url, { role: 'api', env: { MAX_WORKING_JOBS: String(MAX_WORKING) } });
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
});
afterAll(async () => {
  await sql.end();
  await app.stop();
  await database.drop();
});
beforeEach(async () => {
  made += 1;
  user = await app.addUser(`agent${made}@example.com`, `account-${made}`);
});

const job = (options: object = {}) => ({ type: 'demo.sleep', tasks: [{ ms: 1 }, { ms: 2 }], ...options });

/** Submits one that waits for the account's lock, and the others while it does. */
async function whileOneWaits(submit: () => Promise<Answer>[]): Promise<[Answer, ...Answer[]]> {
  await sql.query('BEGIN');
  let first: Promise<Answer>;
  let others: Promise<Answer>[];
  try {
    await sql.query('SELECT pg_advisory_xact_lock(7411, $1)', [user.accountId]);
    first = app.post(JOBS, user, job());
    await sessionsWait(sql);
    const { open } = await openRequests();
    others = submit();
    await waitFor(async () => (await openRequests()).open >= open + others.length, {
      what: 'them to be there',
    });
  } finally {
    await sql.query('ROLLBACK');
  }
  return Promise.all([first, ...others]);
}

/** Of submissions, by the service's own count. */
async function openRequests(): Promise<{ open: number }> {
  const { text } = await app.get('/metrics', user);
  return { open: Number(/tally_http_requests_open\{route="\/api\/v2\/jobs"\} (\d+)/.exec(text)?.[1] ?? 0) };
}

/** The transactions that added the account's jobs, oldest first, and how many each added. */
const commits = async (): Promise<number[]> =>
  (
    await sql.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM job_statuses WHERE account_id = $1 GROUP BY xmin ORDER BY min(id::text)',
      [user.accountId],
    )
  ).rows.map(({ n }) => n);

test('submissions of an account that come while one is under way are added in one commit, each with its tasks', async () => {
  const totals = [1, 2, 3, 4, 5, 60];
  const answers = await whileOneWaits(() =>
    totals.map((total) =>
      app.post(
        JOBS,
        user,
        job({ tasks: Array.from({ length: total }, (_, ms) => ({ ms })), name: `of ${total}` }),
      ),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  expect(await commits()).toEqual([1, 6]);
  expect(answers.slice(1).map(({ body }) => body.total)).toEqual(totals);
  for (const { body } of answers.slice(1)) {
    const { rows } = await sql.query(
      `SELECT j.name, sum(size)::int AS tasks, sum(json_array_length(tasks))::int AS texts, min(first_position) AS first
         FROM job_statuses j JOIN task_chunks c ON c.job_id = j.id WHERE j.id = $1 GROUP BY j.id`,
      [body.id],
    );
    expect(rows).toEqual([{ name: `of ${body.total}`, tasks: body.total, texts: body.total, first: 0 }]);
  }
});

test('of those that are added together, as many as the account has room for are, and the others hear which jobs take it', async () => {
  const answers = await whileOneWaits(() =>
    Array.from({ length: MAX_WORKING + 3 }, () => app.post(JOBS, user, job())),
  );
  const added = answers.filter(({ status }) => status === 202).map(({ body }) => body.id);
  expect(added).toHaveLength(MAX_WORKING);
  const refused = answers.filter(({ status }) => status !== 202);
  expect(refused).toHaveLength(4);
  for (const { status, body } of refused) {
    expect([status, body.error]).toEqual([429, 'TooManyJobs']);
    expect([...body.current_job_ids].sort()).toEqual([...added].sort());
  }
  expect((await commits()).reduce((sum, n) => sum + n)).toBe(MAX_WORKING);
});

test('one that the database refuses does not take the others with it', async () => {
  const passed = new Date(Date.now() - 60_000).toISOString();
  const answers = await whileOneWaits(() =>
    [{}, { deadline: passed }, {}].map((options) => app.post(JOBS, user, job(options))),
  );
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 422, 202]);
  expect(Object.keys(answers[2]!.body.details)).toEqual(['deadline']);
  expect((await commits()).reduce((sum, n) => sum + n)).toBe(3);
});

test('one with an Idempotency-Key or a callback is added among them, on its own', async () => {
  const answers = await whileOneWaits(() => [
    app.post(JOBS, user, job()),
    app.post(JOBS, user, job(), { 'Idempotency-Key': 'among others' }),
    app.post(JOBS, user, job()),
    app.post(JOBS, user, job()),
  ]);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  expect((await commits()).reduce((sum, n) => sum + n)).toBe(5);
  const again = await app.post(JOBS, user, job(), { 'Idempotency-Key': 'among others' });
  expect([again.body.id, again.headers.get('idempotency-replayed')]).toEqual([answers[2]!.body.id, 'true']);
});
