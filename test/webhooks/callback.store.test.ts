import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { PrismaService } from '../../src/database/prisma.service.js';
import { CallbackStore } from '../../src/webhooks/callback.store.js';
import { TestEngine } from '../support/engine.js';

let engine: TestEngine;
let store: CallbackStore;
beforeEach(async () => {
  engine = await TestEngine.start();
  store = new CallbackStore(engine.prisma);
});
afterEach(() => engine.stop());

/** An ended job whose callback is due. @returns its id */
async function ended(accountId = engine.accountId): Promise<string> {
  const id = await engine.submit(1);
  await engine.sql.query(
    `INSERT INTO job_callbacks (job_id, account_id, url, origin) VALUES ($1, $2, 'https://example.com/', '')`,
    [id, accountId],
  );
  await engine.sql.query(
    `UPDATE job_statuses SET status = 'killed', finished_at = clock_timestamp() WHERE id = $1`,
    [id],
  );
  return id;
}

/** As if this time had passed. */
const pass = (interval: string) =>
  engine.sql.query(`UPDATE job_callbacks SET due_at = due_at - $1::interval`, [interval]);

const row = async () =>
  (await engine.sql.query('SELECT state, attempts, due_at, last_error FROM job_callbacks')).rows[0]!;

/** Seconds until it is due. */
const dueIn = async () =>
  (
    await engine.sql.query<{ s: number }>(
      'SELECT extract(epoch FROM due_at - clock_timestamp())::float AS s FROM job_callbacks',
    )
  ).rows[0]!.s;

describe('a claim', () => {
  test('takes what is due, the oldest first, and no working job', async () => {
    const working = await engine.submit(1);
    await engine.sql.query(
      `INSERT INTO job_callbacks (job_id, account_id, url, origin) VALUES ($1, 1, 'https://example.com/', '')`,
      [working],
    );
    const first = await ended();
    const second = await ended();
    await engine.sql.query(
      `UPDATE job_callbacks SET due_at = due_at - interval '1 minute' WHERE job_id = $1`,
      [second],
    );
    expect(await store.claim(1, [])).toEqual([
      expect.objectContaining({ jobId: second, attempt: 1, status: 'killed', total: 1, progress: 0 }),
    ]);
    expect((await store.claim(10, [])).map(({ jobId }) => jobId)).toEqual([first]);
    expect(await store.claim(10, [])).toEqual([]);
  });

  test('leaves alone whose receivers keep the process busy', async () => {
    await ended(7);
    const other = await ended(8);
    expect((await store.claim(10, [7])).map(({ jobId }) => jobId)).toEqual([other]);
    expect(await store.claim(10, [7])).toEqual([]);
    expect(await store.claim(10, [])).toHaveLength(1);
  });

  test('is never of the same callback in two processes', async () => {
    const ids = await Promise.all(Array.from({ length: 40 }, () => ended()));
    const other = new PrismaService(engine.database.url);
    const stores = [store, new CallbackStore(other)];
    try {
      const claims = await Promise.all(Array.from({ length: 40 }, (_, n) => stores[n % 2]!.claim(2, [])));
      const rest = await store.claim(40, []);
      const claimed = [...claims.flat(), ...rest].map(({ jobId }) => jobId);
      expect(claimed.sort()).toEqual(ids.sort());
    } finally {
      await other.onModuleDestroy();
    }
  });

  test('passes over what another one holds at this moment', async () => {
    await ended();
    const holder = await engine.sql.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM job_callbacks FOR UPDATE');
      expect(await store.claim(10, [])).toEqual([]);
      await holder.query('ROLLBACK');
    } finally {
      holder.release();
    }
    expect(await store.claim(10, [])).toHaveLength(1);
  });

  test('runs out after half a minute, and then it is another one’s', async () => {
    await ended();
    const [first] = await store.claim(1, []);
    expect(await dueIn()).toBeGreaterThan(25);
    await pass('20 seconds');
    expect(await store.claim(1, [])).toEqual([]);
    await pass('10 seconds');
    const [second] = await store.claim(1, []);
    expect(second).toMatchObject({ jobId: first!.jobId, attempt: 2 });
    expect(await store.retryLater(first!, 'late', 5_000)).toBe('lost');
    expect(await store.giveUp(first!, 'late')).toBe('lost');
    expect(await store.handBack(first!)).toBe('lost');
    expect(await row()).toMatchObject({ state: 'pending', attempts: 2, last_error: null });
    expect(await store.deliver(first!)).toBe('written');
    expect(await store.retryLater(second!, 'later still', 5_000)).toBe('lost');
    expect(await row()).toEqual({ state: 'delivered', attempts: 2, due_at: null, last_error: null });
  });

  test('finds what is due by its index, however many wait for their next try', async () => {
    await engine.sql.query(`
      INSERT INTO job_statuses (id, account_id, created_by, type, total, status, finished_at)
      SELECT gen_random_uuid(), ${engine.accountId}, ${engine.userId}, 't', 1, 'killed', now()
        FROM generate_series(1, 5000)`);
    await engine.sql.query(`
      INSERT INTO job_callbacks (job_id, account_id, url, origin, due_at)
      SELECT id, account_id, 'https://example.com/', '', now() + interval '1 hour' FROM job_statuses`);
    await engine.sql.query('ANALYZE job_callbacks');
    const { rows } = await engine.sql.query<{ 'QUERY PLAN': string }>(`
      EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
      SELECT job_id FROM job_callbacks
       WHERE due_at <= statement_timestamp() AND account_id <> ALL('{}'::int[])
       ORDER BY due_at LIMIT 10 FOR UPDATE SKIP LOCKED`);
    const plan = rows.map((line) => line['QUERY PLAN']).join('\n');
    expect(plan).toMatch(/Index Cond: \(due_at <= statement_timestamp\(\)\)/);
    expect(plan).not.toMatch(/Rows Removed/);
  });
});

describe('the outcome of a try', () => {
  test('is a wait by the clock of Postgres, and why', async () => {
    await ended();
    const [due] = await store.claim(1, []);
    expect(await store.retryLater(due!, 'the receiver answered 500', 60_000)).toBe('written');
    expect(await row()).toMatchObject({ state: 'pending', last_error: 'the receiver answered 500' });
    expect(Math.abs((await dueIn()) - 60)).toBeLessThan(5);
  });

  test('is the end of it, and why', async () => {
    await ended();
    const [due] = await store.claim(1, []);
    expect(await store.giveUp(due!, 'gone')).toBe('written');
    expect(await row()).toEqual({ state: 'failed', attempts: 1, due_at: null, last_error: 'gone' });
    expect(await store.deliver(due!)).toBe('lost');
  });

  test('is none when the process ends: it is due at once', async () => {
    await ended();
    const [due] = await store.claim(1, []);
    expect(await store.handBack(due!)).toBe('written');
    expect(await store.claim(1, [])).toEqual([expect.objectContaining({ attempt: 2 })]);
  });

  test('is lost with a job that is deleted meanwhile', async () => {
    await ended();
    const [due] = await store.claim(1, []);
    await engine.sql.query('DELETE FROM job_statuses');
    expect(await store.deliver(due!)).toBe('lost');
  });
});
