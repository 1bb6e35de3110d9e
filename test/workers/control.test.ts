import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { failed, succeeded, type TaskContext, type TaskOutcome } from '../../src/jobs/task-handler.js';
import { TestApp, type TestHandler, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { batch, single, tasks, type Task } from '../support/handlers.js';
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
  const app = await TestApp.start(database.url, {
    env: { DRAIN_SECONDS: '0', ...env },
    handlers: handler ? [handler] : [],
  });
  apps.push(app);
  if (apps.length === 1) user = await app.addUser();
  return app;
}

async function submit(app: TestApp, list: readonly unknown[], options: object = {}): Promise<string> {
  const answer = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: list, ...options });
  expect(answer.status).toBe(202);
  return answer.body.id as string;
}

const status = async (app: TestApp, id: string) =>
  (await app.get(`/api/v2/job_statuses/${id}.json`, user)).body;
const job = async (app: TestApp, id: string) => (await app.get(`/api/v2/jobs/${id}.json`, user)).body;
const act = (app: TestApp, id: string, what: string, who = user) =>
  app.post(`/api/v2/jobs/${id}/${what}.json`, who, undefined);
const ended = (app: TestApp, id: string, timeoutMs = 10_000) =>
  waitFor(
    async () => {
      const now = await status(app, id);
      return now.status !== 'working' && now;
    },
    { timeoutMs, what: 'the job to end' },
  );

/** A handler that runs until it is aborted, and notes when it began and was aborted. */
function endless() {
  const seen = { begun: 0, aborted: 0, reasons: [] as unknown[] };
  const run = async (_: Task, context: TaskContext): Promise<TaskOutcome> => {
    seen.begun += 1;
    await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
    seen.aborted += 1;
    seen.reasons.push((context.signal.reason as Error).message);
    return succeeded('too late');
  };
  return { seen, run };
}

describe('a kill', () => {
  it('reaches every running handler within a second, and no result comes after it', async () => {
    const { seen, run } = endless();
    const handler = single((task, context) => (task.n < 5 ? succeeded(task.n) : run(task, context)));
    const app = await start(handler);
    await start(handler);
    const id = await submit(app, tasks(100));
    await waitFor(() => seen.begun >= 20);
    const killed = await act(app, id, 'kill');
    expect(killed.status).toBe(200);
    expect(killed.body.status).toBe('killed');
    expect(killed.body.message).toMatch(/^Killed at \w{3} \w{3} \d\d \d\d:\d\d:\d\d \+0000 \d{4}$/);
    await waitFor(() => seen.aborted === seen.begun, { timeoutMs: 1_000 });
    expect(new Set(seen.reasons)).toEqual(new Set(['the job has ended']));
    await waitFor(async () => {
      const chunks = await app.prisma.taskChunk.findMany({ where: { state: { not: 'parked' } } });
      return chunks.length === 0;
    });
    expect(await status(app, id)).toEqual(killed.body);
    expect((await act(app, id, 'kill')).body).toEqual(killed.body);
  });

  it('frees the worker from a handler that ignores its signal', async () => {
    const app = await start(
      single((task) => (task.n === 1 ? succeeded('free') : new Promise<never>(() => undefined))),
      {
        WORKER_CONCURRENCY: '1',
      },
    );
    const id = await submit(app, [{ n: 0 }]);
    await waitFor(() => app.prisma.taskChunk.findFirst({ where: { state: 'leased' } }));
    await act(app, id, 'kill');
    expect(await ended(app, await submit(app, [{ n: 1 }]))).toMatchObject({
      status: 'completed',
      results: ['free'],
    });
  });

  it('frees the lane of a handler whose statement would run on for long, and undoes what it wrote', async () => {
    const app = await start(
      batch(
        async (list, context) => {
          await context.tx.ticket.create({ data: { accountId: context.accountId, title: 'undone' } });
          await context.tx.$queryRaw`SELECT pg_sleep(60)::text`;
          return list.map(() => succeeded(null));
        },
        { transaction: true },
      ),
      { WORKER_CONCURRENCY: '1' },
    );
    const sleepers = () => app.prisma.$queryRaw<object[]>`SELECT 1 FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'tally-lane' AND query LIKE '%pg_sleep%'`;
    const id = await submit(app, tasks(3));
    await waitFor(async () => (await sleepers()).length === 1);
    await act(app, id, 'kill');
    await waitFor(async () => (await sleepers()).length === 0, { timeoutMs: 3_000 });
    expect(await app.prisma.ticket.count()).toBe(0);
    expect(await status(app, id)).toMatchObject({ status: 'killed', progress: 0 });
  });

  it('of a completed job is refused with 409', async () => {
    const app = await start(single(() => succeeded(null)));
    const id = await submit(app, tasks(1));
    await ended(app, id);
    const answer = await act(app, id, 'kill');
    expect([answer.status, answer.body.error]).toEqual([409, 'JobFinished']);
    expect((await act(app, id, 'pause')).status).toBe(409);
    expect((await act(app, id, 'resume')).status).toBe(409);
  });

  it('is for the submitter and the admins of the account, and hides the jobs of others', async () => {
    const { run } = endless();
    const app = await start(single(run));
    const id = await submit(app, tasks(1));
    const colleague = await app.addUser('colleague@example.com');
    const admin = await app.addUser('admin@example.com', 'main', 'admin');
    const stranger = await app.addUser('stranger@example.com', 'other', 'admin');
    for (const what of ['kill', 'pause', 'resume', 'retry']) {
      expect((await act(app, id, what, colleague)).status).toBe(403);
      expect((await act(app, id, what, stranger)).status).toBe(404);
    }
    expect((await app.call('DELETE', `/api/v2/jobs/${id}`, colleague)).status).toBe(403);
    expect((await act(app, id, 'kill', admin)).status).toBe(200);
  });
});

describe('a pause', () => {
  it('lets running tasks finish and starts no new ones, until it is resumed', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    let begun = 0;
    const app = await start(
      single(async (task) => {
        begun += 1;
        await gate;
        return succeeded(task.n);
      }),
      { WORKER_CONCURRENCY: '4' },
    );
    const id = await submit(app, tasks(10));
    await waitFor(() => begun === 4);
    expect((await act(app, id, 'pause')).body).toMatchObject({ paused: true, status: 'working' });
    await waitFor(async () => (await job(app, id)).counts.running === 4);
    open();
    await waitFor(async () => (await status(app, id)).progress === 4);
    await waitFor(async () => {
      const rest = await app.prisma.taskChunk.findMany();
      return rest.length > 0 && rest.every((chunk) => chunk.state === 'parked');
    });
    expect(begun).toBe(4);
    expect((await act(app, id, 'resume')).body).toMatchObject({ paused: false });
    expect(await ended(app, id)).toMatchObject({ status: 'completed', progress: 10 });
    expect(begun).toBe(10);
  });

  it('holds up no other job', async () => {
    const app = await start(
      single((task) => succeeded(task.n)),
      { WORKER_CONCURRENCY: '1' },
    );
    await app.worker.stop();
    const paused = await submit(app, tasks(100), { priority: 100 });
    await act(app, paused, 'pause');
    const other = await submit(app, tasks(1));
    await app.worker.start();
    expect(await ended(app, other)).toMatchObject({ status: 'completed' });
    expect(await status(app, paused)).toMatchObject({ status: 'working', progress: 0 });
  });

  it('survives a sweep that saw the job as it was before the resume', async () => {
    const app = await start(single((task) => succeeded(task.n)));
    await app.worker.stop();
    const id = await submit(app, tasks(3));
    // As such a sweep would leave it.
    await app.prisma.$executeRaw`UPDATE task_chunks SET state = 'parked'`;
    await app.worker.start();
    expect(await ended(app, id)).toMatchObject({ status: 'completed', progress: 3 });
  });
});

describe('a retry', () => {
  it('makes one new job of the failed tasks, linked both ways, however many ask at once', async () => {
    let broken = true;
    const app = await start(
      single((task) => (broken && task.n % 3 === 0 ? failed('Broken', 'It is broken') : succeeded(task.n))),
    );
    const id = await submit(app, tasks(10), { name: 'nightly', metadata: { run: 7 }, priority: 3 });
    expect(await ended(app, id)).toMatchObject({ status: 'completed' });
    broken = false;
    const answers = await Promise.all(Array.from({ length: 20 }, () => act(app, id, 'retry')));
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 202));
    const made = answers[0]!.body;
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
    expect(made).toMatchObject({
      retry_of: id,
      total: 4,
      name: 'nightly',
      metadata: { run: 7 },
      priority: 3,
    });
    expect(answers[0]!.headers.get('location')).toBe(made.url);
    expect(await ended(app, made.id)).toMatchObject({ status: 'completed', results: [0, 3, 6, 9] });
    expect(await job(app, id)).toMatchObject({ retried_by: made.id, retry_of: null });
    expect(await app.prisma.jobStatus.count()).toBe(2);
    expect((await act(app, made.id, 'retry')).body).toMatchObject({ error: 'NothingToRetry' });
  });

  it('of a killed job has every position that did not succeed, failed or never processed', async () => {
    const { run } = endless();
    let isOpen = false;
    const app = await start(
      single((task, context) => {
        if (isOpen) return succeeded(task.n);
        if (task.n % 7 === 0) return failed('Broken', 'It is broken');
        return task.n % 2 === 0 ? succeeded(task.n) : run(task, context);
      }),
      { WORKER_CONCURRENCY: '30' },
    );
    const id = await submit(app, tasks(237));
    await waitFor(async () => (await status(app, id)).progress > 10);
    await act(app, id, 'kill');
    isOpen = true;
    const before = await app.prisma.jobResult.findMany({ where: { success: true } });
    const retried = (await act(app, id, 'retry')).body;
    expect(retried.total).toBe(237 - before.length);
    const again = await ended(app, retried.id);
    expect(again).toMatchObject({ status: 'completed', progress: retried.total });
    const everywhere = [...before.map((row) => row.index), ...(again.results as number[])].sort(
      (a, b) => a - b,
    );
    expect(everywhere).toEqual(tasks(237).map(({ n }) => n));
  });

  it('of a working job is refused with 409', async () => {
    const { run } = endless();
    const app = await start(single(run));
    const answer = await act(app, await submit(app, tasks(1)), 'retry');
    expect([answer.status, answer.body.error]).toEqual([409, 'JobWorking']);
  });
});

describe('a limit', () => {
  it('of failures ends the job as failed when one task more has failed, and the rest is not run', async () => {
    let calls = 0;
    const app = await start(
      single(() => {
        calls += 1;
        return failed('Broken', 'It is broken');
      }),
      { WORKER_CONCURRENCY: '2' },
    );
    const id = await submit(app, tasks(3_000), { max_failures: 3 });
    const end = await ended(app, id);
    expect(end.status).toBe('failed');
    expect(end.message).toMatch(/^Failed at .* \+0000 \d{4}: more than 3 tasks failed$/);
    expect(end.results).toHaveLength(end.progress);
    expect(end.progress).toBeGreaterThan(3);
    expect(calls).toBeLessThan(3_000);
  });

  it('of failures beats completion at the last task', async () => {
    const app = await start(single((task) => (task.n === 4 ? failed('Broken', 'Last') : succeeded(task.n))));
    expect(await ended(app, await submit(app, tasks(5), { max_failures: 0 }))).toMatchObject({
      status: 'failed',
      progress: 5,
      total: 5,
    });
    expect(await ended(app, await submit(app, tasks(5), { max_failures: 1 }))).toMatchObject({
      status: 'completed',
    });
  });

  it('of time ends an attempt with TaskTimeout, also of a deaf handler, and the next attempt runs', async () => {
    let calls = 0;
    const app = await start(
      single((_, context) => {
        calls += 1;
        return context.attempt === 1 ? new Promise<never>(() => undefined) : succeeded('second');
      }),
    );
    expect(await ended(app, await submit(app, tasks(1), { task_timeout: 1 }))).toMatchObject({
      results: ['second'],
    });
    expect(calls).toBe(2);
    const timedOut = await ended(app, await submit(app, tasks(1), { task_timeout: 1, max_attempts: 1 }));
    expect(timedOut.results[0].errors).toBe('The task took longer than 1 s');
    expect(await app.prisma.jobResult.findFirst({ where: { success: false } })).toMatchObject({
      error: 'TaskTimeout',
    });
  });

  it('of time takes the task at fault alone out of a transaction that others share', async () => {
    const app = await start(
      single(
        async (task, context) => {
          await context.tx.ticket.create({ data: { accountId: context.accountId, title: `task ${task.n}` } });
          if (task.n === 2) await new Promise<never>(() => undefined);
          return succeeded(task.n);
        },
        { transaction: true },
      ),
    );
    const end = await ended(app, await submit(app, tasks(5), { task_timeout: 1, max_attempts: 1 }));
    expect(end).toMatchObject({ status: 'completed', results: [0, 1, { success: false }, 3, 4] });
    const titles = (await app.prisma.ticket.findMany()).map((ticket) => ticket.title).sort();
    expect(titles).toEqual(['task 0', 'task 1', 'task 3', 'task 4']);
  });
});

describe('a time', () => {
  it('to start at is kept: nothing runs before it', async () => {
    let begunAt = 0;
    const app = await start(
      single(() => {
        begunAt = Date.now();
        return succeeded(null);
      }),
    );
    const startAt = Date.now() + 1_500;
    const id = await submit(app, tasks(1), { start_at: new Date(startAt).toISOString() });
    expect(await job(app, id)).toMatchObject({
      status: 'working',
      start_at: new Date(startAt).toISOString(),
    });
    await ended(app, id);
    expect(begunAt).toBeGreaterThanOrEqual(startAt - 5);
  });

  it('that a deadline names ends the job as failed and aborts its handlers within a second', async () => {
    const { seen, run } = endless();
    const app = await start(single(run));
    const deadline = Date.now() + 1_200;
    const id = await submit(app, tasks(5), { deadline: new Date(deadline).toISOString() });
    await waitFor(() => seen.begun === 5);
    const end = await ended(app, id);
    expect(end.message).toMatch(/^Failed at .*: the deadline has passed$/);
    expect(Date.now()).toBeGreaterThanOrEqual(deadline);
    await waitFor(() => seen.aborted === 5, { timeoutMs: 1_000 });
    expect(end).toMatchObject({ status: 'failed', progress: 0, results: [] });
  });

  it('in the past as a deadline, and one before the start, are refused', async () => {
    const app = await start(null);
    for (const options of [
      { deadline: '2020-01-01T00:00:00Z' },
      { deadline: '2100-01-01T00:00:00Z', start_at: '2101-01-01T00:00:00Z' },
      { deadline: 'tomorrow' },
    ]) {
      const answer = await app.post('/api/v2/jobs', user, { type: 'demo.sleep', tasks: [{}], ...options });
      expect(answer.status).toBe(422);
      expect(Object.keys(answer.body.details)).toEqual(['deadline']);
    }
    expect(await app.prisma.jobStatus.count()).toBe(0);
  });
});

describe('a deletion', () => {
  it('removes an ended job at once, and its results soon after', async () => {
    const app = await start(single(() => succeeded(null)));
    const id = await submit(app, tasks(20));
    await ended(app, id);
    const answer = await app.call('DELETE', `/api/v2/jobs/${id}.json`, user, '{}');
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect((await app.get(`/api/v2/job_statuses/${id}`, user)).status).toBe(404);
    await waitFor(
      async () => (await app.prisma.jobResult.count()) + (await app.prisma.deletedJob.count()) === 0,
    );
    expect((await app.call('DELETE', `/api/v2/jobs/${id}.json`, user)).status).toBe(404);
  });

  it('of a working job is refused with 409', async () => {
    const { run } = endless();
    const app = await start(single(run));
    const answer = await app.call('DELETE', `/api/v2/jobs/${await submit(app, tasks(1))}`, user);
    expect([answer.status, answer.body.error]).toEqual([409, 'JobWorking']);
  });
});

describe('a job whose type no living worker knows', () => {
  it('waits, says so in its message, and is no error', async () => {
    const app = await start(single(() => succeeded(null)));
    await app.worker.stop();
    const id = await submit(app, tasks(1));
    expect(await status(app, id)).toMatchObject({
      status: 'working',
      message: 'Waiting: no worker that knows test.task is running',
    });
    await app.worker.start();
    expect(await ended(app, id)).toMatchObject({ status: 'completed' });
  });
});
