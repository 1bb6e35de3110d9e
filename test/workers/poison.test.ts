import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { succeeded } from '../../src/jobs/task-handler.js';
import { TestApp, type TestHandler, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { batch, single, tasks, type Task } from '../support/handlers.js';
import { waitFor } from '../support/wait-for.js';

/** Suspects in the hands of whole workers. That a process really dies is the business of test/process/poison.test.ts. */

let database: TestDatabase;
let app: TestApp;
let user: TestUser;

beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await app.stop();
  await database.drop();
});

/** A worker that begins when these jobs are there and as the statement has left their chunks. */
async function start(handler: TestHandler, env: Record<string, string> = {}): Promise<void> {
  app = await TestApp.start(database.url, { env: { DRAIN_SECONDS: '0', ...env }, handlers: [handler] });
  user = await app.addUser();
  await app.worker.stop();
}

async function submit(total: number, options: object = {}): Promise<string> {
  const answer = await app.post('/api/v2/jobs.json', user, {
    type: 'test.task',
    tasks: tasks(total),
    ...options,
  });
  expect(answer.status).toBe(202);
  return answer.body.id as string;
}

const ended = (id: string) =>
  waitFor(
    async () => {
      const { body } = await app.get(`/api/v2/job_statuses/${id}.json`, user);
      return body.status !== 'working' && body;
    },
    { timeoutMs: 15_000, what: 'the job to end' },
  );

/** A handler's account of who ran beside whom. */
function company() {
  const running = new Set<number>();
  const beside = new Map<number, number>();
  const runs = async (n: number): Promise<void> => {
    running.add(n);
    for (const other of running) beside.set(other, Math.max(beside.get(other) ?? 0, running.size));
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    running.delete(n);
  };
  return { runs, beside };
}

describe('a suspect', () => {
  it('of one task runs with nothing else in its process, and all else goes on', async () => {
    const { runs, beside } = company();
    await start(
      single(async (task) => {
        await runs(task.n);
        return succeeded(task.n);
      }),
    );
    const id = await submit(40);
    // Two chunks of one task each, suspects, among chunks of ten.
    for (const first of [0, 30]) {
      await app.prisma.$executeRaw`
        INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks, suspect)
        SELECT job_id, account_id, type, priority, first_position, 1, json_build_array(tasks -> 0), true
          FROM task_chunks WHERE first_position = ${first}`;
      await app.prisma.$executeRaw`
        UPDATE task_chunks SET size = 9, first_position = first_position + 1, tasks = (tasks::jsonb - 0)::json
         WHERE first_position = ${first} AND size = 10`;
    }
    await app.worker.start();
    expect(await ended(id)).toMatchObject({
      status: 'completed',
      results: tasks(40).map(({ n }) => n),
    });
    expect([beside.get(0), beside.get(30)]).toEqual([1, 1]);
    expect(beside.get(20)).toBeGreaterThan(1);
  });

  it.each([
    ['single tasks', false, {}],
    ['single tasks and a transaction', false, { transaction: true }],
    ['batches', true, {}],
    ['batches and a transaction', true, { transaction: true }],
    ['tasks in order', false, { orderBy: (task: Task) => task.n % 2 }],
    ['batches in order and a transaction', true, { transaction: true, orderBy: (task: Task) => task.n % 2 }],
  ])('of a handler of %s is split, and every task has its own result', async (_, isBatch, more) => {
    const order: number[] = [];
    const does = (list: readonly Task[]) => {
      order.push(...list.map((task) => task.n));
      return list.map((task) => succeeded(task.n));
    };
    await start(
      isBatch ? batch((list) => Promise.resolve(does(list)), more) : single((task) => does([task])[0]!, more),
    );
    const id = await submit(25);
    await app.prisma.$executeRaw`UPDATE task_chunks SET suspect = true`;
    await app.worker.start();
    expect(await ended(id)).toMatchObject({ status: 'completed', results: tasks(25).map(({ n }) => n) });
    const sorted = [...order].sort((a, b) => a - b);
    expect(sorted).toEqual(tasks(25).map(({ n }) => n));
    if ('orderBy' in more) expect(order).toEqual(sorted);
  });

  it('that was blamed and ends well takes the blame from the others', async () => {
    const seen: { crashes: number; survived: number }[][] = [];
    await start(
      single(async (task) => {
        seen.push(await app.prisma.taskChunk.findMany({ select: { crashes: true, survived: true } }));
        return succeeded(task.n);
      }),
    );
    const ids = [await submit(1), await submit(1)];
    await app.prisma.$executeRaw`UPDATE task_chunks SET suspect = true, crashes = 2`;
    await app.worker.start();
    for (const id of ids) expect(await ended(id)).toMatchObject({ status: 'completed', results: [0] });
    const blamed = { crashes: 2, survived: 0 };
    expect(seen).toEqual([[blamed, blamed], [{ crashes: 2, survived: 2 }]]);
  });

  it('that has crashed three times alone fails without being run', async () => {
    const ran: number[] = [];
    await start(
      single((task) => {
        ran.push(task.n);
        return succeeded(task.n);
      }),
    );
    const id = await submit(1);
    await app.prisma.$executeRaw`UPDATE task_chunks SET suspect = true, crashes = 3`;
    await app.worker.start();
    const sentence = 'Its worker was lost 3 times while it ran this task and nothing else';
    expect(await ended(id)).toMatchObject({
      status: 'completed',
      results: [{ errors: sentence, success: false, status: 'Failed' }],
    });
    expect(await app.prisma.jobResult.findFirst()).toMatchObject({ error: 'WorkerCrashed', task: { n: 0 } });
    expect(ran).toEqual([]);
  });

  it('that waits for what runs beside it is handed back by a stop, as it was', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await start(
      single(async (task) => {
        if (task.n === 0) await gate;
        return succeeded(task.n);
      }),
      { DRAIN_SECONDS: '5' },
    );
    const first = await submit(1);
    await app.worker.start();
    await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'leased' } }));
    const id = await submit(1, {
      tasks: [{ n: 1 }],
      start_at: new Date(Date.now() + 3_600_000).toISOString(),
    });
    await app.prisma.$executeRaw`
      UPDATE task_chunks SET suspect = true, crashes = 2, state = 'ready', visible_at = NULL WHERE state = 'waiting'`;
    app.worker.poke();
    await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'leased', suspect: true } }));
    const stopping = app.worker.stop();
    await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'ready', suspect: true } }));
    open();
    await stopping;
    expect(await app.prisma.taskChunk.findMany()).toMatchObject([{ crashes: 2, survived: 0, alone: false }]);
    await app.worker.start();
    expect(await ended(id)).toMatchObject({ results: [1] });
    expect(await ended(first)).toMatchObject({ results: [0] });
  });

  it('runs all the same when the connection is cut on which it is noted that it runs alone', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await start(
      single(async (task) => {
        if (task.n === 0) await gate;
        return succeeded(task.n);
      }),
    );
    await app.prisma.$executeRaw`CREATE SEQUENCE notes`;
    await app.prisma.$executeRaw`
      CREATE FUNCTION cut_the_first_note() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('notes') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
        RETURN NEW;
      END $$`;
    await app.prisma.$executeRaw`
      CREATE TRIGGER cut BEFORE UPDATE ON task_chunks FOR EACH ROW WHEN (NEW.alone AND NOT OLD.alone)
      EXECUTE FUNCTION cut_the_first_note()`;
    await submit(1);
    await app.worker.start();
    await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'leased' } }));
    const id = await submit(1, {
      tasks: [{ n: 1 }],
      start_at: new Date(Date.now() + 3_600_000).toISOString(),
    });
    await app.prisma.$executeRaw`
      UPDATE task_chunks SET suspect = true, state = 'ready', visible_at = NULL WHERE state = 'waiting'`;
    app.worker.poke();
    await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'leased', suspect: true } }));
    open();
    // Within the 15 seconds of its lease.
    expect(await ended(id)).toMatchObject({ status: 'completed', results: [1] });
    expect(await app.prisma.$queryRaw`SELECT last_value::int AS notes FROM notes`).toEqual([{ notes: 2 }]);
  });

  it('whose process was only stopped or busy is not blamed when that comes back', async () => {
    let calls = 0;
    await start(
      single(async (_, context) => {
        calls += 1;
        if (calls === 1)
          await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
        return succeeded(calls);
      }),
    );
    const id = await submit(1);
    await app.prisma.$executeRaw`UPDATE task_chunks SET suspect = true, crashes = 2`;
    await app.worker.start();
    await waitFor(() => calls === 1);
    // As a sweeper elsewhere does when this process has been stopped for the length of a lease.
    await app.prisma.$executeRaw`
      UPDATE task_chunks SET state = 'ready', lease_id = NULL, leased_at = NULL, lease_expires_at = NULL, worker = NULL,
                             alone = false, slots = NULL, crashes = crashes + 1`;
    await app.prisma
      .$executeRaw`UPDATE task_chunks SET state = 'waiting', visible_at = clock_timestamp() + interval '1 s'`;
    expect(await ended(id)).toMatchObject({ results: [2] });
    expect(calls).toBe(2);
  });
});
