import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../src/workers/lease.sql.js';
import { positionsOf, recorded, successor, TestEngine } from '../support/engine.js';

let engine: TestEngine;
let a: number;
let b: number;
let c: number;
beforeAll(async () => {
  engine = await TestEngine.start();
  a = engine.accountId;
  b = await engine.addAccount('second');
  c = await engine.addAccount('third');
});
afterAll(() => engine.stop());
beforeEach(() =>
  engine.sql.query(
    'DELETE FROM task_chunks; DELETE FROM turns; DELETE FROM virtual_times; DELETE FROM job_statuses',
  ),
);

/** Tasks of a job of 32 chunks of so many. */
const MANY = 10_000;
const SIZE = 313;

const finish = (lease: Lease) => engine.chunks.finish(lease, recorded(positionsOf(lease)), []);

/** Runs so many chunks, one after the other. @returns whose they were */
async function serve(chunks: number): Promise<number[]> {
  const served: number[] = [];
  for (let n = 0; n < chunks; n += 1) {
    const lease = await engine.claimOne();
    served.push(lease.accountId);
    await finish(lease);
  }
  return served;
}

const place = async (account: number): Promise<number> =>
  Number((await engine.sql.query('SELECT place FROM turns WHERE account_id = $1', [account])).rows[0].place);
const virtualTime = async (): Promise<number> =>
  Number((await engine.sql.query('SELECT at FROM virtual_times')).rows[0]?.at ?? 0);

describe('between accounts', () => {
  it('a job of ten tasks begins before the 1,000 chunks that another account has waiting', async () => {
    await engine.submit(10_000, { accountId: a });
    await engine.sql.query(`
      INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks)
      SELECT job_id, account_id, type, priority, first_position, size, tasks
        FROM task_chunks CROSS JOIN generate_series(1, 9)`);
    await serve(3);
    await engine.submit(10, { accountId: b });
    expect((await serve(2)).includes(b)).toBe(true);
  });

  it('it does so in one claim too, which takes chunks of both', async () => {
    await engine.submit(10_000, { accountId: a, priority: 100 });
    await engine.submit(10, { accountId: b });
    const leases = await engine.claim({ places: 1_000, chunks: 2 });
    expect(leases.map((lease) => lease.accountId).sort()).toEqual([a, b].sort());
  });

  it('each has the same share of the tasks, whatever it has waiting and however large its chunks are', async () => {
    await engine.submit(20_000, { accountId: a, size: 448 });
    await engine.submit(5_000, { accountId: b, size: 224 });
    await engine.submit(5_000, { accountId: c, size: 224 });
    const tasks = new Map([a, b, c].map((account) => [account, 0]));
    for (let n = 0; n < 42; n += 1) {
      const lease = await engine.claimOne();
      tasks.set(lease.accountId, tasks.get(lease.accountId)! + lease.size);
      await finish(lease);
    }
    const shares = [...tasks.values()];
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(448);
  });

  it('none can save up turns by staying away, nor is made to pay for those it had alone', async () => {
    await engine.submit(MANY, { accountId: a, size: SIZE });
    await engine.submit(MANY, { accountId: b, size: SIZE });
    expect((await serve(40)).filter((account) => account === b)).toHaveLength(20);
    await engine.submit(MANY, { accountId: c, size: SIZE });
    const next = await serve(30);
    expect(next.filter((account) => account === c).length).toBeGreaterThanOrEqual(9);
    expect(next.filter((account) => account === c).length).toBeLessThanOrEqual(12);
  });

  it('the virtual time does not run back, and one that comes back starts there', async () => {
    await engine.submit(MANY, { accountId: a, size: SIZE });
    await engine.submit(MANY, { accountId: b, size: SIZE });
    let last = 0;
    for (let n = 0; n < 20; n += 1) {
      await serve(2);
      const now = await virtualTime();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
    expect(last).toBeGreaterThan(0);
    await engine.submit(10, { accountId: c });
    expect(await place(c)).toBe(last);
  });

  it('a job that starts next week pins nothing, and neither does a paused one', async () => {
    const later = await engine.submit(10, { accountId: c });
    await engine.sql.query(
      "UPDATE task_chunks SET state = 'waiting', visible_at = clock_timestamp() + interval '7 days' WHERE job_id = $1",
      [later],
    );
    const paused = await engine.submit(MANY, { accountId: c, size: SIZE });
    await engine.sql.query('UPDATE job_statuses SET paused = true WHERE id = $1', [paused]);
    await engine.submit(MANY, { accountId: a, size: SIZE });
    await engine.submit(MANY, { accountId: b, size: SIZE });
    await serve(40);
    const now = await virtualTime();
    expect(now).toBeGreaterThanOrEqual(18 * SIZE);
    expect(await place(c)).toBeGreaterThanOrEqual(now - 2 * SIZE);
    await engine.sql.query('UPDATE job_statuses SET paused = false WHERE id = $1', [paused]);
    const next = await serve(12);
    expect(next.filter((account) => account === c).length).toBeLessThanOrEqual(6);
    expect(next).toContain(c);
  });

  it('what is handed back does not jump the queue', async () => {
    await engine.submit(100, { accountId: a });
    await engine.submit(100, { accountId: b });
    const first = await engine.claimOne();
    await engine.chunks.finish(first, recorded([]), [successor(positionsOf(first))]);
    expect((await engine.claimOne()).accountId).not.toBe(first.accountId);
  });

  it('accounts that may run nothing now do not hide those that may, however many they are', async () => {
    for (let n = 0; n < 40; n += 1) {
      const account = await engine.addAccount(`busy-${n}`);
      await engine.submit(20, { accountId: account, ordered: true });
      await engine.claimOne();
    }
    await engine.submit(10, { accountId: b });
    const seen: number[] = [];
    for (let n = 0; n < 4; n += 1)
      seen.push(...(await engine.claim({ places: 100 })).map((l) => l.accountId));
    expect(seen).toContain(b);
  });
});

describe('within an account', () => {
  it('priority goes first, then age, whatever the type', async () => {
    const older = await engine.submit(1, { type: 'test.other' });
    const younger = await engine.submit(1);
    const urgent = await engine.submit(1, { priority: 5 });
    const wanted = { taskPlaces: 1, isWhole: false, takesLane: false, atOnce: 20, limit: null };
    const types = ['test.task', 'test.other'].map((type) => ({ type, ...wanted }));
    const order = [];
    for (let n = 0; n < 3; n += 1) order.push((await engine.claimOne({ types })).jobId);
    expect(order).toEqual([urgent, older, younger]);
  });

  it('a job with an order, of which one chunk runs, does not hide the jobs behind it', async () => {
    await engine.submit(2_000, { ordered: true, priority: 1 });
    await engine.claimOne();
    const other = await engine.submit(1);
    expect((await engine.claimOne()).jobId).toBe(other);
  });
});

describe('the queue', () => {
  it('leaves out accounts with nothing ready, and takes them in with their next job', async () => {
    await engine.submit(1, { accountId: a });
    await finish(await engine.claimOne());
    expect(await engine.claim()).toEqual([]);
    const waiting = async () =>
      (await engine.sql.query('SELECT account_id FROM turns WHERE is_waiting')).rows as object[];
    expect(await waiting()).toEqual([]);
    await engine.submit(1, { accountId: a });
    expect(await waiting()).toEqual([{ account_id: a }]);
    expect((await engine.claimOne()).accountId).toBe(a);
  });

  it('does not lose a job that is submitted while a claim finds nothing', async () => {
    await engine.submit(1, { accountId: a });
    await finish(await engine.claimOne());
    // The account is still in the queue; a submission holds its row while the claim, which sees no chunk, waits for it.
    const submission = await engine.sql.connect();
    await submission.query('BEGIN');
    await submission.query('UPDATE turns SET woken = woken + 1 WHERE account_id = $1', [a]);
    const claim = engine.claim();
    await engine.someoneWaits();
    await submission.query('COMMIT');
    submission.release();
    expect(await claim).toEqual([]);
    expect((await engine.sql.query('SELECT 1 FROM turns WHERE is_waiting')).rowCount).toBe(1);
  });

  it('serves eight who claim at once every chunk once, and blocks none of them for good', async () => {
    for (const accountId of [a, b, c]) await engine.submit(600, { accountId });
    const taken: bigint[] = [];
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let empty = 0; empty < 5;) {
          const { leases, contended } = await engine.look({ places: 60, chunks: 6 });
          if (leases.length === 0 && !contended) empty += 1;
          for (const lease of leases) {
            taken.push(lease.chunkId);
            await finish(lease);
          }
        }
      }),
    );
    expect(new Set(taken).size).toBe(taken.length);
    const { rows } = await engine.sql.query("SELECT 1 FROM job_statuses WHERE status <> 'completed'");
    expect(rows).toEqual([]);
  });
});
