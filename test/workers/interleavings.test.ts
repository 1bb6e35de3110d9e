import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { LeaseLost } from '../../src/errors.js';
import { succeeded } from '../../src/jobs/task-handler.js';
import { preparedName } from '../../src/database/prepared.js';
import { claimSql } from '../../src/workers/claim.sql.js';
import { claimSuspectSql } from '../../src/workers/suspect.store.js';
import type { Lease } from '../../src/workers/lease.sql.js';
import { TestApp, type TestHandler } from '../support/app.js';
import { LEASE_MS, positionsOf, recorded, TestEngine } from '../support/engine.js';
import { single } from '../support/handlers.js';
import { waitFor } from '../support/wait-for.js';

/** Orders of events that break the obvious design, each one forced. */

let engine: TestEngine;
let app: TestApp | undefined;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterEach(async () => {
  await app?.stop();
  app = undefined;
  await engine.sql.query('DELETE FROM task_chunks; DELETE FROM turns');
});
afterAll(() => engine.stop());

/** Holds the job's row, lets both begin in this order, each waiting for the row, and then lets go of it. */
async function inThisOrder<A, B>(job: string, first: () => Promise<A>, second: () => Promise<B>) {
  const holder = await engine.sql.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT 1 FROM job_statuses WHERE id = $1 FOR UPDATE', [job]);
  const one = first().catch((error: unknown) => error);
  await engine.someoneWaits(1);
  const two = second().catch((error: unknown) => error);
  await engine.someoneWaits(2);
  await holder.query('COMMIT');
  holder.release();
  return Promise.all([one, two]);
}

describe('a kill and the last record of a job, at the same moment', () => {
  it('the record first: the job is completed, and the kill says that it came too late', async () => {
    const job = await engine.submit(3);
    const lease = await engine.claimOne();
    const [finished, killed] = await inThisOrder(
      job,
      () => engine.chunks.finish(lease, recorded([0, 1, 2]), []),
      () => engine.control.kill(job),
    );
    expect([finished, killed]).toEqual([null, false]);
    expect(await engine.counts(job)).toMatchObject({ status: 'completed', progress: 3, results: 3 });
  });

  it('the kill first: the job is killed, and the record changes nothing and says so', async () => {
    const job = await engine.submit(3);
    const lease = await engine.claimOne();
    const [killed, finished] = await inThisOrder(
      job,
      () => engine.control.kill(job),
      () => engine.chunks.finish(lease, recorded([0, 1, 2]), []),
    );
    expect(killed).toBe(true);
    expect(finished).toBeInstanceOf(LeaseLost);
    expect(await engine.counts(job)).toMatchObject({ status: 'killed', progress: 0, results: 0 });
  });
});

describe('two workers', () => {
  it('that record chunks of the same two jobs, each in the order of its own, never wait for each other', async () => {
    const jobs = [await engine.submit(200), await engine.submit(200)];
    const leases = await engine.claim({ places: 400, chunks: 40 });
    const [left, right] = jobs.map((job) => leases.filter((lease) => lease.jobId === job));
    const record = async (list: typeof leases) => {
      for (const lease of list) await engine.chunks.finish(lease, recorded(positionsOf(lease)), []);
    };
    const half = <T>(list: readonly T[], at: 0 | 1): T[] => list.filter((_, n) => n % 2 === at);
    const turns = (one: typeof leases, other: typeof leases) => one.flatMap((lease, n) => [lease, other[n]!]);
    await Promise.all([
      record(turns(half(left!, 0), half(right!, 0))),
      record(turns(half(right!, 1), half(left!, 1))),
    ]);
    for (const job of jobs)
      expect(await engine.counts(job)).toMatchObject({ status: 'completed', progress: 200, results: 200 });
  });
});

describe('the ends of several jobs in one commit', () => {
  /** Ends the only chunk of each of these jobs; all but the first, which goes at once, come together. */
  async function endTogether(jobs: readonly string[], leases: readonly Lease[]) {
    const ends = jobs.map((job) => {
      const lease = leases.find(({ jobId }) => jobId === job)!;
      return engine.chunks.finish(lease, recorded(positionsOf(lease)), []).catch((error: unknown) => error);
    });
    return Promise.all(ends);
  }

  async function six() {
    const jobs: string[] = [];
    for (let n = 0; n < 6; n += 1) jobs.push(await engine.submit(3 + n));
    return { jobs, leases: await engine.claim({ places: 100 }) };
  }

  const transactions = async (jobs: readonly string[]) => {
    const { rows } = await engine.sql.query<{ xmin: string }>(
      'SELECT DISTINCT xmin::text FROM job_statuses WHERE id = ANY($1)',
      [jobs],
    );
    return rows.length;
  };

  it('are the results and the end of each, and none of another', async () => {
    const { jobs, leases } = await six();
    expect(await endTogether(jobs, leases)).toEqual(Array(6).fill(null));
    expect(await transactions(jobs)).toBe(2);
    for (const [n, job] of jobs.entries())
      expect(await engine.counts(job)).toMatchObject({
        status: 'completed',
        ...{ total: 3 + n, progress: 3 + n, failed: 0, results: 3 + n, failedResults: 0 },
      });
  });

  it('where one was killed, are those of all others, and it says so', async () => {
    const { jobs, leases } = await six();
    await engine.control.kill(jobs[3]!);
    const said = await endTogether(jobs, leases);
    expect(said[3]).toBeInstanceOf(LeaseLost);
    expect(said.filter((one) => one !== null)).toHaveLength(1);
    for (const [n, job] of jobs.entries())
      expect(await engine.counts(job)).toMatchObject(
        n === 3
          ? { status: 'killed', progress: 0, results: 0 }
          : { status: 'completed', progress: 3 + n, results: 3 + n },
      );
  });

  it('where the lease of one was stolen, are those of all others, and nothing of it', async () => {
    const { jobs, leases } = await six();
    await engine.expire(leases.find(({ jobId }) => jobId === jobs[2])!);
    const said = await endTogether(jobs, leases);
    expect(said.map((one) => one instanceof LeaseLost)).toEqual(jobs.map((_, n) => n === 2));
    expect(await engine.counts(jobs[2]!)).toMatchObject({ status: 'working', progress: 0, results: 0 });
    expect(await engine.counts(jobs[5]!)).toMatchObject({ status: 'completed', results: 8 });
  });

  it('where somebody holds the row of one, do not wait for it', async () => {
    const { jobs, leases } = await six();
    const holder = await engine.sql.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM job_statuses WHERE id = $1 FOR UPDATE', [jobs[4]]);
    const said = endTogether(jobs, leases);
    await waitFor(
      async () => {
        const all = await Promise.all(jobs.map((job) => engine.counts(job)));
        return all.filter(({ status }) => status === 'completed').length === 5;
      },
      { what: 'the others to end' },
    );
    expect(await engine.counts(jobs[4]!)).toMatchObject({ status: 'working', progress: 0, results: 0 });
    await holder.query('COMMIT');
    holder.release();
    expect(await said).toEqual(Array(6).fill(null));
    expect(await engine.counts(jobs[4]!)).toMatchObject({ status: 'completed', results: 7 });
  });

  it('where one has a failed task too many, end it as failed, and the others as they are', async () => {
    const jobs = [
      await engine.submit(2),
      await engine.submit(2, { max_failures: 0 }),
      await engine.submit(2, { max_failures: 1 }),
    ];
    const leases = await engine.claim({ places: 100 });
    await Promise.all(
      jobs.map((job) => {
        const lease = leases.find(({ jobId }) => jobId === job)!;
        return engine.chunks.finish(lease, recorded([0], [1]), []);
      }),
    );
    expect(await transactions(jobs)).toBe(2);
    const counts = await Promise.all(jobs.map((job) => engine.counts(job)));
    expect(counts.map(({ status, failed }) => [status, failed])).toEqual([
      ['completed', 1],
      ['failed', 1],
      ['completed', 1],
    ]);
  });
});

async function start(handler: TestHandler, env: Record<string, string> = {}) {
  app = await TestApp.start(engine.database.url, {
    env: { DRAIN_SECONDS: '0', ...env },
    handlers: [handler],
  });
  return app;
}

const ended = (job: string) =>
  waitFor(async () => (await engine.counts(job)).status !== 'working' && engine.counts(job), {
    timeoutMs: 15_000,
    what: 'the job to end',
  });

const resultsOf = async (job: string) =>
  (await engine.sql.query('SELECT result FROM job_results WHERE job_id = $1', [job])).rows as object[];

describe('a handler', () => {
  it('that ignores its signal, and whose lease is stolen in mid-run, changes nothing when it returns', async () => {
    let letGo: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (letGo = resolve));
    let deaf: Promise<void> = Promise.resolve();
    let calls = 0;
    await start(
      single(async () => {
        calls += 1;
        if (calls === 1) {
          deaf = gate;
          await gate;
          return succeeded('the old holder');
        }
        return succeeded('the new holder');
      }),
    );
    const job = await engine.submit(1);
    await waitFor(() => calls === 1);
    await waitFor(async () => {
      await engine.sql.query('UPDATE task_chunks SET lease_expires_at = clock_timestamp()');
      return (await engine.chunks.rescue()) === 1;
    });
    const end = await ended(job);
    letGo();
    await deaf;
    await new Promise((resolve) => setImmediate(resolve));
    expect(await resultsOf(job)).toEqual([{ result: 'the new holder' }]);
    expect(await engine.counts(job)).toEqual(end);
  });

  it('that blocks the event loop for longer than the lease has lost it, and the task runs again', async () => {
    let calls = 0;
    // Open, so that the query is written before the loop is blocked; a pool would write it a tick later.
    const elsewhere = await engine.sql.connect();
    await start(
      single(() => {
        calls += 1;
        if (calls > 1) return succeeded('the second run');
        // Postgres goes on without us: the lease runs out and a sweeper elsewhere takes the chunk.
        elsewhere
          .query(
            `SELECT pg_sleep(2.2);
             UPDATE task_chunks SET state = 'ready', lease_id = NULL, leased_at = NULL, lease_expires_at = NULL,
                                    worker = NULL, slots = NULL, alone = false, suspect = true
              WHERE lease_expires_at <= clock_timestamp()`,
          )
          .catch(() => undefined);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_800);
        return succeeded('the first run');
      }),
      { LEASE_SECONDS: '2' },
    );
    const job = await engine.submit(1);
    expect(await ended(job)).toMatchObject({ status: 'completed', progress: 1, results: 1 });
    expect(calls).toBe(2);
    elsewhere.release();
    expect(await resultsOf(job)).toEqual([{ result: 'the second run' }]);
  });
});

describe('a claim', () => {
  it('does not walk over 100,000 chunks that wait for their retry', async () => {
    const job = await engine.submit(20);
    await engine.sql.query(
      `INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks, state, visible_at)
       SELECT job_id, account_id, type, 100, n, 1, '[1]', 'waiting', clock_timestamp() + interval '1 hour'
         FROM (SELECT * FROM task_chunks WHERE job_id = $1 LIMIT 1) AS c, generate_series(100, 100099) AS n`,
      [job],
    );
    await engine.sql.query('ANALYZE task_chunks');
    const { claimed, rows } = await claimAndCount(() => Promise.resolve());
    expect(claimed).toBe(2);
    expect(rows.task_chunks).toBeLessThan(100);
  });

  it('does not walk over 10,000 jobs that came since it was planned for empty tables', async () => {
    const { claimed, rows } = await claimAndCount(addJobs);
    expect(claimed).toBe(10);
    // Each of 64 candidates with its job, and those that are taken.
    expect(rows.task_chunks).toBeLessThan(200);
    expect(rows.job_statuses).toBeLessThan(200);
  });

  it('does not walk over 10,000 jobs, nor accounts, that came since its tables were vacuumed empty', async () => {
    await engine.sql.query('DELETE FROM task_chunks');
    await engine.sql.query('DELETE FROM turns');
    await engine.sql.query('VACUUM (ANALYZE) task_chunks, turns');
    const { claimed, rows } = await claimAndCount(async (client) => {
      await addJobs(client);
      // They wait behind this one, so the claim must write to their turns.
      await client.query(
        `INSERT INTO turns (type, account_id, place) SELECT 'test.task', 1000 + n, n FROM generate_series(1, 10000) AS n`,
      );
    });
    // So many of each account, where many wait.
    expect(claimed).toBe(8);
    expect(rows.task_chunks).toBeLessThan(200);
    expect(rows.turns).toBeLessThan(200);
  });

  it('of a task that must run alone does not walk over 3,000 of them for each that it looks at', async () => {
    const job = await engine.submit(1);
    await engine.sql.query('DELETE FROM task_chunks WHERE job_id <> $1', [job]);
    await engine.sql.query('VACUUM (ANALYZE) task_chunks');
    const types = [{ type: 'test.task', limit: null }];
    const { claimed, rows } = await claimAndCount(
      async (client) => {
        await client.query(
          `INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks, suspect)
           SELECT job_id, account_id, type, priority, n, 1, tasks, true
             FROM task_chunks, generate_series(1, 3000) AS n WHERE job_id = $1`,
          [job],
        );
      },
      claimSuspectSql({ worker: 'test', types, accountLimit: null, leaseMs: LEASE_MS }),
    );
    expect(claimed).toBe(1);
    // It may read them all, to sort them, and to find the one that it takes; not once for each of 64.
    expect(rows.task_chunks).toBeLessThan(4 * 3_000);
  });

  const CLAIM = claimSql({
    worker: 'test',
    types: [{ type: 'test.task', taskPlaces: 1, isWhole: false, takesLane: false, atOnce: 20, limit: null }],
    ...{ places: 100, lanes: 4, chunks: 16, leaseMs: LEASE_MS, accountLimit: null },
  });

  type RowsRead = Record<'task_chunks' | 'job_statuses' | 'turns', number>;

  /** 10,000 jobs of ten tasks. */
  async function addJobs(client: pg.PoolClient): Promise<void> {
    await client.query(
      `WITH job AS (
         INSERT INTO job_statuses (id, account_id, created_by, type, total)
         SELECT gen_random_uuid(), $1, $2, 'test.task', 10 FROM generate_series(1, 10000)
         RETURNING id, account_id, type, priority
       )
       INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks)
       SELECT id, account_id, type, priority, 0, 10, '[1,2,3,4,5,6,7,8,9,10]' FROM job`,
      [engine.accountId, engine.userId],
    );
  }

  /** Claims on a session that has planned its claim before `meanwhile`. @returns the chunks, and the rows that were read for them */
  async function claimAndCount(
    meanwhile: (client: pg.PoolClient) => Promise<void>,
    { text, values }: { readonly text: string; readonly values: unknown[] } = CLAIM,
  ) {
    const name = preparedName('claim', text);
    const client = await engine.sql.connect();
    const rowsRead = async () => {
      const { rows } = await client.query<{ relname: keyof RowsRead; rows: number }>(
        `SELECT relname, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS rows FROM pg_stat_xact_user_tables`,
      );
      return Object.fromEntries(rows.map((row) => [row.relname, row.rows])) as RowsRead;
    };
    await client.query('BEGIN');
    try {
      for (let n = 0; n < 6; n += 1) {
        await client.query('SAVEPOINT before');
        await client.query({ name, text, values });
        await client.query('ROLLBACK TO before');
      }
      await meanwhile(client);
      const before = await rowsRead();
      const { rowCount } = await client.query({ name, text, values });
      const after = await rowsRead();
      const rows = {
        task_chunks: after.task_chunks - before.task_chunks,
        job_statuses: after.job_statuses - before.job_statuses,
        turns: after.turns - before.turns,
      };
      return { claimed: rowCount, rows };
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }
});
