import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { EagerStart, Submission } from '../../src/jobs/eager-starts.js';
import { newJobId, planChunks } from '../../src/jobs/job.js';
import { jobOptions } from '../../src/jobs/job.schemas.js';
import { succeeded } from '../../src/jobs/task-handler.js';
import { ChunkStore } from '../../src/workers/chunk.store.js';
import { WorkerService } from '../../src/workers/worker.service.js';
import { TestApp, type TestHandler, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { LEASE_MS, TestEngine } from '../support/engine.js';
import { single, tasks } from '../support/handlers.js';
import { sessionsWait } from '../support/locks.js';
import { waitFor } from '../support/wait-for.js';
import pg from 'pg';

describe('a submission with leases', () => {
  let engine: TestEngine;

  beforeAll(async () => {
    engine = await TestEngine.start();
  });
  afterAll(() => engine.stop());
  beforeEach(() => engine.sql.query('TRUNCATE task_chunks, turns, job_statuses CASCADE'));

  function jobOf(total: number, more: Partial<Submission> = {}): Submission {
    return {
      ...{ id: newJobId(), accountId: engine.accountId, createdBy: engine.userId, type: 'test.task' },
      ...{ options: jobOptions.parse({}), total, ordered: false, maxWorkingJobs: 100, key: null },
      chunks: planChunks(tasks(total).map((task) => JSON.stringify(task))),
      ...more,
    };
  }

  /** What was settled, each time. */
  const settled: ReadonlyMap<string, bigint>[] = [];
  beforeEach(() => {
    settled.length = 0;
  });

  const startOf = (job: Submission, types = ['test.task']): EagerStart => ({
    ...{ worker: 'me', leaseMs: LEASE_MS, types },
    leaseIds: job.chunks.map(() => randomUUID()),
    slots: job.chunks.map(({ size }) => size),
    settle: (leased) => settled.push(leased),
  });

  const chunks = async () => {
    const { rows } = await engine.sql.query<{ id: string; leaseId: string | null; state: string }>(
      `SELECT id, lease_id::text AS "leaseId", state FROM task_chunks ORDER BY job_id, first_position`,
    );
    return rows;
  };
  const waiting = async () => (await engine.sql.query('SELECT 1 FROM turns WHERE is_waiting')).rowCount;

  it('leases its chunks where nobody waits, and takes no turn', async () => {
    const job = jobOf(40);
    const start = startOf(job);
    expect(await engine.jobs.submit(job, start)).toBe('made');
    const rows = await chunks();
    expect(rows.map(({ leaseId, state }) => ({ leaseId, state }))).toEqual(
      start.leaseIds.map((leaseId) => ({ leaseId, state: 'leased' })),
    );
    expect(settled).toEqual([new Map(rows.map(({ id, leaseId }) => [leaseId, BigInt(id)]))]);
    expect(await waiting()).toBe(0);
    expect(await engine.claim({ places: 100 })).toEqual([]);
    const { rows: leases } = await engine.sql.query(
      `SELECT DISTINCT worker, slots, leased_at <= clock_timestamp() AS begun,
              lease_expires_at - leased_at = $1 * interval '1 millisecond' AS whole FROM task_chunks`,
      [LEASE_MS],
    );
    expect(leases).toEqual([{ worker: 'me', slots: 10, begun: true, whole: true }]);
  });

  it('waits behind an account that waits for its turn', async () => {
    await engine.submit(5, { accountId: await engine.addAccount('earlier') });
    const job = jobOf(40);
    expect(await engine.jobs.submit(job, startOf(job))).toBe('made');
    expect((await chunks()).map(({ state }) => state)).toEqual(Array(5).fill('ready'));
    expect(settled).toEqual([new Map()]);
    expect(await waiting()).toBe(2);
    expect(await engine.claim({ places: 100 })).toHaveLength(5);
  });

  it('waits for nobody whose tasks its worker does not know', async () => {
    await engine.submit(5, { type: 'other.task' });
    const job = jobOf(5);
    await engine.jobs.submit(job, startOf(job));
    expect(settled[0]?.size).toBe(1);
  });

  it('says so when it was refused, or failed', async () => {
    const refused = jobOf(5, { maxWorkingJobs: 0 });
    expect(await engine.jobs.submit(refused, startOf(refused))).toEqual({ working: [] });
    const broken = jobOf(5, { createdBy: -1 });
    await expect(engine.jobs.submit(broken, startOf(broken))).rejects.toThrow('violates foreign key');
    expect(settled).toEqual([new Map(), new Map()]);
    expect(await chunks()).toEqual([]);
  });

  it('goes together with others, each with leases of its own or without', async () => {
    const jobs = [jobOf(5), jobOf(20), jobOf(5)].map((job) => ({ ...job, maxWorkingJobs: 3 }));
    const [first, second, third] = jobs as [Submission, Submission, Submission];
    const starts = [startOf(first), startOf(second), null];
    expect(
      await engine.jobs.submitMany([...jobs, jobOf(5, { maxWorkingJobs: 3 })], [...starts, null]),
    ).toEqual(['made', 'made', 'made', { working: jobs.map(({ id }) => id) }]);
    expect((await chunks()).map(({ leaseId }) => leaseId)).toEqual([
      ...(starts[0]?.leaseIds ?? []),
      ...(starts[1]?.leaseIds ?? []),
      null,
    ]);
    expect(settled).toHaveLength(2);
    expect(await waiting()).toBe(1);
    expect(await engine.claim({ places: 100 })).toMatchObject([{ jobId: third.id }]);
  });
});

describe('a worker', () => {
  let database: TestDatabase;
  let app: TestApp;
  let user: TestUser;
  let sql: pg.Client;

  beforeEach(async () => {
    database = await createTestDatabase();
    sql = new pg.Client({ connectionString: database.url });
    await sql.connect();
    await sql.query(`
      CREATE TABLE claimed (job_id uuid);
      CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO claimed VALUES (NEW.job_id); RETURN NULL; END $$;
      CREATE TRIGGER note_claim AFTER UPDATE ON task_chunks FOR EACH ROW
        WHEN (OLD.state = 'ready' AND NEW.state = 'leased') EXECUTE FUNCTION note_claim();`);
  });
  afterEach(async () => {
    await app.stop();
    await sql.end();
    await database.drop();
  });

  async function start(handler: TestHandler, env: Record<string, string> = {}): Promise<void> {
    app = await TestApp.start(database.url, { handlers: [handler], env });
    user = await app.addUser();
  }

  const submit = async (total: number, more: object = {}) => {
    const answer = await app.post('/api/v2/jobs.json', user, {
      type: 'test.task',
      tasks: tasks(total),
      ...more,
    });
    expect(answer.status).toBe(202);
    return answer.body.url as string;
  };
  const completed = (url: string) =>
    waitFor(async () => (await app.get(url, user)).body.status === 'completed', { timeoutMs: 15_000 });
  const claims = async () => (await sql.query('SELECT 1 FROM claimed')).rowCount;
  const states = async () =>
    (await sql.query<{ state: string }>('SELECT state FROM task_chunks ORDER BY job_id, id')).rows.map(
      ({ state }) => state,
    );

  const echo = single(({ n }) => succeeded({ was: n }));

  /** A handler that waits for `open`. */
  function gate(more: Parameters<typeof single>[1] = {}) {
    let open: () => void = () => undefined;
    let running = 0;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const handler = single(async () => {
      running += 1;
      await opened;
      return succeeded(null);
    }, more);
    return { handler, open: () => open(), running: () => running };
  }

  it.each([
    ['as JSON', (total: number) => submit(total)],
    ['as JSON that says it starts at once', (total: number) => submit(total, { start_at: null })],
    [
      'as lines',
      async (total: number) => {
        const lines = tasks(total).map((task) => `${JSON.stringify(task)}\n`);
        const headers = { 'content-type': 'application/x-ndjson' };
        const path = '/api/v2/jobs.json?type=test.task';
        return (await app.call('POST', path, user, lines.join(''), headers)).body.url as string;
      },
    ],
  ])('begins with a job that its process takes in %s, and claims nothing', async (_, send) => {
    await start(echo);
    await completed(await send(12));
    await sql.query('TRUNCATE claimed');
    await betweenLooks();
    const url = await send(12);
    await completed(url);
    expect((await app.get(url, user)).body.results).toEqual(tasks(12).map((task) => ({ was: task.n })));
    expect(await claims()).toBe(0);
  });

  /** Until the worker has just looked for work by itself, as it does once a second: the next look is far away. */
  async function betweenLooks(): Promise<void> {
    const store = app.app.get(ChunkStore);
    const claim = store.claim.bind(store);
    let lastMs = performance.now();
    let isLook = false;
    store.claim = async (request) => {
      const found = await claim(request);
      const nowMs = performance.now();
      isLook = nowMs - lastMs > 500;
      lastMs = nowMs;
      return found;
    };
    await waitFor(() => isLook && performance.now() - lastMs < 300);
    store.claim = claim;
  }

  it('begins with no more than it has room for, and claims the rest when there is some', async () => {
    const { handler, open, running } = gate();
    await start(handler, { WORKER_CONCURRENCY: '7' });
    const urls = await Promise.all(Array.from({ length: 30 }, () => submit(1)));
    await waitFor(() => running() === 7);
    expect((await states()).filter((state) => state === 'leased')).toHaveLength(7);
    open();
    await Promise.all(urls.map(completed));
    expect(await claims()).toBeGreaterThan(0);
  });

  it('takes no job that is more than it has room for, but claims what there is room for', async () => {
    const { handler, open, running } = gate();
    await start(handler, { WORKER_CONCURRENCY: '7' });
    const url = await submit(40);
    await waitFor(() => running() === 7);
    expect((await states()).sort()).toEqual(['leased', 'ready', 'ready', 'ready']);
    open();
    await completed(url);
  });

  it.each([
    ['where a limit of the account must be counted', {}, { MAX_RUNNING_TASKS: '5' }, {}],
    ['where a limit of the type must be counted', { concurrency: 5 }, {}, {}],
    ['whose tasks run in transactions', { transaction: true }, {}, {}],
    ['whose tasks have an order', { orderBy: () => 'one' }, {}, {}],
    ['that is to start later', {}, {}, { start_at: new Date(Date.now() + 300).toISOString() }],
  ])('claims a job %s', async (_, options, env, more) => {
    await start(
      single(({ n }) => succeeded(n), options),
      env,
    );
    await completed(await submit(20, more));
    expect(await claims()).toBeGreaterThan(0);
  });

  it('that stops meanwhile hands the job back', async () => {
    const { handler, running } = gate();
    await start(handler);
    await sql.query('BEGIN');
    await sql.query('SELECT pg_advisory_xact_lock(7411, $1)', [user.accountId]);
    const answered = submit(5);
    await sessionsWait(sql);
    const stopped = app.app.get(WorkerService).stop();
    // The last that a worker does is to leave the list: it does not while it may be given something.
    const left = async () => (await sql.query('SELECT 1 FROM workers')).rowCount === 0;
    await expect(waitFor(left, { timeoutMs: 400 })).rejects.toThrow('in vain');
    await sql.query('ROLLBACK');
    await Promise.all([answered, stopped]);
    expect(await states()).toEqual(['ready']);
    expect(running()).toBe(0);
  });
});
