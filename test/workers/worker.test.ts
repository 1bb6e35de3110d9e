import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { failed, succeeded, type TaskContext, type TaskOutcome } from '../../src/jobs/task-handler.js';
import { HeartbeatStore } from '../../src/workers/heartbeat.store.js';
import { TestApp, type TestHandler, type TestUser } from '../support/app.js';
import { batch, single, tasks, type Task } from '../support/handlers.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait-for.js';

let database: TestDatabase;
let apps: TestApp[] = [];
let user: TestUser;

beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await Promise.all(apps.map((app) => app.stop()));
  apps = [];
  await database.drop();
});

async function start(handler: TestHandler | null, env: Record<string, string> = {}): Promise<TestApp> {
  const app = await TestApp.start(database.url, { env, handlers: handler ? [handler] : [] });
  apps.push(app);
  if (apps.length === 1) user = await app.addUser();
  return app;
}

/** Submits a job and waits for its end. */
async function run(app: TestApp, list: readonly unknown[], options: object = {}) {
  const answer = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: list, ...options });
  expect(answer.status).toBe(202);
  return ended(app, answer.body.url as string);
}

async function ended(app: TestApp, url: string, timeoutMs = 15_000) {
  return waitFor(
    async () => {
      const { body } = await app.get(url, user);
      expect(body.results).toHaveLength(body.progress);
      return body.status !== 'working' && body;
    },
    { timeoutMs, what: 'the job to end' },
  );
}

const resultRows = (app: TestApp) =>
  app.prisma.jobResult.findMany({
    orderBy: { index: 'asc' },
    select: { index: true, success: true, attempts: true, error: true },
  });

describe('a worker', () => {
  it('runs every task once and gives results[i] to the i-th task', async () => {
    const seen: number[] = [];
    const app = await start(
      single((task, context) => {
        seen.push(task.n);
        expect(context).toMatchObject({ index: task.n, attempt: 1, accountId: user.accountId });
        expect(context.key).toBe(`${context.jobId}:${task.n}`);
        return succeeded({ was: task.n });
      }),
    );
    const status = await run(app, tasks(257));
    expect(status).toMatchObject({ status: 'completed', total: 257, progress: 257 });
    expect(status.results).toEqual(tasks(257).map(({ n }) => ({ was: n })));
    expect(seen.sort((a, b) => a - b)).toEqual(tasks(257).map(({ n }) => n));
  });

  it('never runs more tasks at once than it has places, whatever was claimed', async () => {
    let running = 0;
    let most = 0;
    const app = await start(
      single(async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        return succeeded(null);
      }),
      { WORKER_CONCURRENCY: '7' },
    );
    await run(app, tasks(500));
    expect(most).toBe(7);
  });

  it('shows progress and results while a job runs', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const app = await start(
      single(async (task) => {
        if (task.n >= 3) await gate;
        return succeeded(task.n);
      }),
    );
    const { body } = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(6) });
    const half = await waitFor(async () => {
      const answer = await app.get(body.url, user);
      return answer.body.progress === 3 && answer.body;
    });
    expect(half).toMatchObject({ status: 'working', results: [0, 1, 2] });
    release();
    expect(await ended(app, body.url)).toMatchObject({ status: 'completed', results: [0, 1, 2, 3, 4, 5] });
  });

  it('shows what the handler says as the message, until the end says its own', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const app = await start(
      single(async (_, context) => {
        context.message('half\0way');
        await gate;
        return succeeded(null);
      }),
    );
    const { body } = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(1) });
    await waitFor(async () => (await app.get(body.url, user)).body.message === 'halfway');
    release();
    expect((await ended(app, body.url)).message).toMatch(/^Completed at /);
  });

  it('begins within moments of the submission, woken by a notification', async () => {
    const app = await start(single(() => succeeded(null)));
    await run(app, tasks(1));
    const begun = Date.now();
    await run(app, tasks(1));
    expect(Date.now() - begun).toBeLessThan(900);
  });

  it('finds work whose notification was lost', async () => {
    const app = await start(single(() => succeeded(null)));
    await app.prisma.$queryRaw`SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
      WHERE application_name = 'tally-listener' AND datname = current_database()`;
    expect(await run(app, tasks(3))).toMatchObject({ status: 'completed' });
  });
});

describe('a task that fails', () => {
  it('is tried again, after a wait in which it holds no worker, and counts its attempts', async () => {
    const app = await start(
      single((task, context) => {
        if (task.n === 1 && context.attempt < 3) throw new Error(`broken ${context.attempt}`);
        return succeeded(context.attempt);
      }),
    );
    const { body } = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(3) });
    const waiting = await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'waiting' } }));
    expect(waiting).toMatchObject({ attempt: 1, leaseId: null, worker: null, positions: [1], size: 1 });
    expect((await app.get(body.url.replace('job_statuses', 'jobs'), user)).body.counts).toEqual({
      succeeded: 2,
      failed: 0,
      retrying: 1,
      running: 0,
      pending: 0,
    });
    expect(await ended(app, body.url)).toMatchObject({ status: 'completed', results: [1, 3, 1] });
    expect(await resultRows(app)).toMatchObject([
      { attempts: 1 },
      { attempts: 3, success: true },
      { attempts: 1 },
    ]);
  });

  it('has its failure as its result when its attempts are used up', async () => {
    const app = await start(
      single(() => {
        throw new Error('always');
      }),
    );
    const status = await run(app, tasks(1), { max_attempts: 2 });
    expect(status).toMatchObject({
      status: 'completed',
      results: [{ errors: 'always', success: false, status: 'Failed' }],
    });
    const [row] = await app.prisma.jobResult.findMany();
    expect(row).toMatchObject({ success: false, attempts: 2, error: 'HandlerError', task: { n: 0 } });
  });

  it('is not tried again when the handler says that it is pointless', async () => {
    const app = await start(single(() => failed('AddressUnknown', 'No such street', { result: { id: 7 } })));
    const status = await run(app, tasks(1), { max_attempts: 5 });
    expect(JSON.stringify(status.results[0])).toBe(
      '{"id":7,"errors":"No such street","success":false,"status":"Failed"}',
    );
    expect(await resultRows(app)).toMatchObject([{ attempts: 1, error: 'AddressUnknown' }]);
  });

  it('waits as long as the handler asks', async () => {
    const app = await start(single(() => failed('Busy', 'Later', { retryInSeconds: 3_600 })));
    await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(1) });
    const chunk = await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'waiting' } }));
    expect(chunk.visibleAt!.getTime() - Date.now()).toBeGreaterThan(3_590_000);
  });

  it.each([
    ['a NUL character', () => ({ text: 'a\0b' }), 'ResultInvalid'],
    ['half of a surrogate pair', () => ({ text: 'a\ud800b' }), 'ResultInvalid'],
    ['a key with a NUL character', () => ({ 'a\0': 1 }), 'ResultInvalid'],
    ['a circle', () => circle(), 'ResultInvalid'],
    ['a BigInt', () => ({ big: 1n }), 'ResultInvalid'],
    ['no JSON at all', () => () => 1, 'ResultInvalid'],
    ['65 KiB', () => 'x'.repeat(65 * 1024), 'ResultTooLarge'],
    ['a depth of 200 levels', () => nested(200), 'ResultInvalid'],
  ])('because its result has %s, fails alone', async (_, result, word) => {
    const app = await start(
      single((task) => succeeded(task.n === 1 ? (result() as never) : { literal: '\\u0000', emoji: '😀' })),
    );
    const status = await run(app, tasks(3));
    expect(status).toMatchObject({ status: 'completed', results: [{ emoji: '😀' }, { success: false }, {}] });
    expect(await resultRows(app)).toMatchObject([
      { success: true },
      { error: word, attempts: 1 },
      { success: true },
    ]);
  });
});

describe('a handler with a transaction', () => {
  const title = (task: Task) => `written by task ${task.n}`;
  const insert = (context: { tx: TaskContext['tx']; accountId: number }, task: Task) =>
    context.tx.ticket.create({ data: { accountId: context.accountId, title: title(task) } });
  const titles = async (app: TestApp) =>
    (await app.prisma.ticket.findMany({ orderBy: { id: 'asc' } })).map((ticket) => ticket.title);

  it('commits what it writes together with its results, and undoes what a failed task wrote', async () => {
    const app = await start(
      single(
        async (task, context) => {
          await insert(context, task);
          return task.n === 1 ? failed('Refused', 'Not this one') : succeeded(task.n);
        },
        { transaction: true },
      ),
    );
    const status = await run(app, tasks(3));
    expect(status.results).toMatchObject([0, { success: false }, 2]);
    expect(await titles(app)).toEqual([title({ n: 0 }), title({ n: 2 })]);
  });

  it('for a batch is tried in halves until the task at fault stands alone', async () => {
    const sizes: number[] = [];
    const app = await start(
      batch(
        async (list, context) => {
          sizes.push(list.length);
          for (const task of list) await insert(context, task);
          if (list.some((task) => task.n === 5)) await context.tx.$executeRaw`SELECT 1 / 0`;
          return list.map((task) => succeeded(task.n));
        },
        { transaction: true },
      ),
    );
    const status = await run(app, tasks(10), { max_attempts: 1 });
    expect(status).toMatchObject({ status: 'completed', progress: 10 });
    expect(status.results.map((result: { success?: boolean }) => result.success ?? true)).toEqual(
      tasks(10).map(({ n }) => n !== 5),
    );
    expect((await titles(app)).sort()).toEqual(
      tasks(10)
        .filter(({ n }) => n !== 5)
        .map(title)
        .sort(),
    );
    expect(sizes[0]).toBe(10);
    expect(sizes.length).toBeLessThanOrEqual(9);
  });

  it('loses no attempt to a deadlock or a serialization failure', async () => {
    let calls = 0;
    const app = await start(
      batch(
        async (list, context) => {
          calls += 1;
          for (const task of list) await insert(context, task);
          if (calls === 1)
            await context.tx.$executeRawUnsafe(
              `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$`,
            );
          if (calls === 2)
            await context.tx.$executeRawUnsafe(
              `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$`,
            );
          return list.map((task) => succeeded(task.n));
        },
        { transaction: true },
      ),
    );
    await run(app, tasks(3), { max_attempts: 1 });
    expect(await resultRows(app)).toMatchObject(tasks(3).map(() => ({ success: true, attempts: 1 })));
    expect(await titles(app)).toHaveLength(3);
  });

  it('writes nothing twice when its connection is cut in the middle', async () => {
    let calls = 0;
    const app = await start(
      batch(
        async (list, context) => {
          calls += 1;
          for (const task of list) await insert(context, task);
          if (calls === 1)
            await context.tx.$queryRaw`SELECT pg_terminate_backend(pg_backend_pid())::text`.catch(
              () => undefined,
            );
          return list.map((task) => succeeded(task.n));
        },
        { transaction: true },
      ),
    );
    const status = await run(app, tasks(5));
    expect(status).toMatchObject({ status: 'completed', progress: 5 });
    expect(await titles(app)).toHaveLength(5);
  });

  it('that takes longer than the lease keeps it: the heartbeat has a connection of its own', async () => {
    let calls = 0;
    const app = await start(
      single(
        async (task, context) => {
          calls += 1;
          await insert(context, task);
          // Longer than the lease of 2 s, and busy in the database, so that its idle limit is not what is tested.
          for (let n = 0; n < 8; n += 1) await context.tx.$queryRaw`SELECT pg_sleep(0.4)::text`;
          return succeeded(null);
        },
        { transaction: true },
      ),
      { LEASE_SECONDS: '2' },
    );
    expect(await run(app, tasks(1))).toMatchObject({ status: 'completed' });
    expect(calls).toBe(1);
    expect(await titles(app)).toHaveLength(1);
  });

  it('may say something as the message, also with its last tasks', async () => {
    let calls = 0;
    const app = await start(
      batch(
        async (list, context) => {
          calls += 1;
          const { message } = context;
          message(`batch ${calls}`);
          for (const task of list) await insert(context, task);
          return list.map((task) => succeeded(task.n));
        },
        { transaction: true },
      ),
    );
    expect(await run(app, tasks(5), { max_attempts: 1 })).toMatchObject({ results: [0, 1, 2, 3, 4] });
    expect(calls).toBe(1);
  });

  it('declared without one is told so', async () => {
    const app = await start(single((_, context) => succeeded(Object.keys(context.tx))));
    const status = await run(app, tasks(1), { max_attempts: 1 });
    expect(status.results[0].errors).toMatch(/declare transaction: true/);
  });
});

describe('a lease that is lost', () => {
  it('aborts the handlers, and what they return is dropped', async () => {
    const aborted: unknown[] = [];
    let calls = 0;
    const app = await start(
      single(async (task, context) => {
        calls += 1;
        if (calls > 1) return succeeded('second');
        await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
        aborted.push(task.n);
        return succeeded('first');
      }),
    );
    const { body } = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(1) });
    await waitFor(() => calls === 1);
    await app.prisma
      .$executeRaw`UPDATE task_chunks SET lease_id = gen_random_uuid(), lease_expires_at = clock_timestamp()`;
    const status = await ended(app, body.url);
    expect(status.results).toEqual(['second']);
    expect(aborted).toEqual([0]);
  });

  it('of a worker whose clock is an hour off is no different', async () => {
    const realNow = Date.now;
    const app = await start(single(() => succeeded(null)));
    try {
      Date.now = () => realNow() + 3_600_000;
      const { body } = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(20) });
      for (;;) {
        const { body: status } = await app.get(body.url, user);
        if (status.status === 'completed') break;
      }
    } finally {
      Date.now = realNow;
    }
    const job = await app.prisma.jobStatus.findFirstOrThrow();
    expect(Math.abs(job.finishedAt!.getTime() - Date.now())).toBeLessThan(60_000);
  });

  it('for want of a heartbeat is given up by the worker itself', async () => {
    let aborted = false;
    const app = await start(
      single(async (_, context) => {
        await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
        aborted = true;
        return succeeded(null);
      }),
      { LEASE_SECONDS: '2' },
    );
    await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(1) });
    await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'leased' } }));
    await app.app.get(HeartbeatStore).onModuleDestroy();
    await waitFor(() => aborted, { timeoutMs: 8_000 });
    // The app closes the pool once more when it stops.
    Object.assign(app.app.get(HeartbeatStore), { onModuleDestroy: () => Promise.resolve() });
  });
});

describe('several workers', () => {
  it('share a chunk that is slow: its rest is given back after a while, halved', async () => {
    const ran = new Map<string, number>();
    const slow = (name: string) =>
      single(async () => {
        ran.set(name, (ran.get(name) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 400));
        return succeeded(name);
      });
    const first = await start(slow('first'), { WORKER_CONCURRENCY: '1' });
    const { body } = await first.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(10) });
    await waitFor(() => first.prisma.taskChunk.findFirst({ where: { state: 'leased' } }));
    await start(slow('second'), { WORKER_CONCURRENCY: '1' });
    const status = await ended(first, body.url, 20_000);
    expect(status).toMatchObject({ status: 'completed', progress: 10 });
    expect(ran.get('second')).toBeGreaterThanOrEqual(1);
    expect([...ran.values()].reduce((sum, n) => sum + n)).toBe(10);
  });

  it('take over what a stopped one has not begun, at once, and no task runs twice', async () => {
    let begun = 0;
    const slow = single(async () => {
      begun += 1;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return succeeded(null);
    });
    const first = await start(slow, { WORKER_CONCURRENCY: '2' });
    const { body } = await first.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(10) });
    await waitFor(() => begun === 2);
    const second = await start(slow, { WORKER_CONCURRENCY: '10' });
    const stopping = first.worker.stop();
    await waitFor(() => begun === 10, { timeoutMs: 1_000 });
    await stopping;
    expect(await ended(second, body.url)).toMatchObject({ status: 'completed', progress: 10 });
    expect(begun).toBe(10);
  });

  it('hand back what still runs when the drain is over, and it costs no attempt', async () => {
    let calls = 0;
    const handler = single(async (_, context) => {
      calls += 1;
      if (calls > 1) return succeeded(context.attempt);
      return new Promise<TaskOutcome>(() => undefined);
    });
    const first = await start(handler, { DRAIN_SECONDS: '0' });
    const { body } = await first.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(1) });
    await waitFor(() => calls === 1);
    await first.worker.stop();
    const second = await start(handler);
    expect(await ended(second, body.url)).toMatchObject({ status: 'completed', results: [1] });
  });
});

function circle(): object {
  const self: Record<string, unknown> = {};
  self['self'] = self;
  return self;
}

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = [value];
  return value;
}

describe('a job in which two tasks concern the same thing', () => {
  it.each([false, true])(
    'runs them in order, also when the first is retried (transaction: %s)',
    async (transaction) => {
      const order: string[] = [];
      const app = await start(
        single(
          async (task, context) => {
            await new Promise((resolve) => setImmediate(resolve));
            if (task.n === 0 && context.attempt === 1)
              return failed('Busy', 'Once more', { retryInSeconds: 1 });
            order.push(`${task.n}`);
            return succeeded(task.n);
          },
          { transaction, orderBy: (task: Task) => task.n % 5 },
        ),
      );
      expect(await run(app, tasks(25))).toMatchObject({ status: 'completed', progress: 25 });
      expect(order).toEqual(tasks(25).map(({ n }) => `${n}`));
    },
  );
});
