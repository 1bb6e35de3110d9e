import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { StartError } from '../../src/errors.js';
import { succeeded } from '../../src/jobs/task-handler.js';
import { TaskTypes } from '../../src/jobs/task-types.js';
import { TestApp, type TestHandler, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { batch, single, tasks } from '../support/handlers.js';
import { waitFor } from '../support/wait-for.js';

/** Limits as whole workers keep them; how they are counted is in task-limits.test.ts. */

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

async function start(handler: TestHandler, env: Record<string, string> = {}): Promise<TestApp> {
  const app = await TestApp.start(database.url, { env, handlers: [handler] });
  apps.push(app);
  if (apps.length === 1) user = await app.addUser();
  return app;
}

async function run(app: TestApp, total: number): Promise<void> {
  const { body } = await app.post('/api/v2/jobs.json', user, { type: 'test.task', tasks: tasks(total) });
  await waitFor(async () => (await app.get(body.url, user)).body.status === 'completed', {
    timeoutMs: 25_000,
    what: 'the job to end',
  });
}

/** Counts the tasks that run at once, each for a few turns of the loop. */
function gauge() {
  const seen = { running: 0, most: 0 };
  const during = async (count: number): Promise<void> => {
    seen.running += count;
    seen.most = Math.max(seen.most, seen.running);
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    seen.running -= count;
  };
  return { seen, during };
}

describe('two workers with 20 places each', () => {
  it.each<[string, object, Record<string, string>]>([
    ['a type whose handler says 3', { concurrency: 3 }, {}],
    ['an account that may have 3', {}, { MAX_RUNNING_TASKS: '3' }],
  ])('never run more than three tasks at once of %s', async (_, options, env) => {
    const { seen, during } = gauge();
    const handler = single(async (task) => {
      await during(1);
      return succeeded(task.n);
    }, options);
    const app = await start(handler, env);
    await start(handler, env);
    await run(app, 60);
    expect(seen.most).toBe(3);
  });

  it('give a batch no more tasks than its type may have running', async () => {
    const { seen, during } = gauge();
    const handler = batch(
      async (list) => {
        await during(list.length);
        return list.map((task) => succeeded(task.n));
      },
      { concurrency: 4 },
    );
    const app = await start(handler);
    await start(handler);
    await run(app, 50);
    expect(seen.most).toBe(4);
  });
});

it('a handler whose concurrency is no positive integer is refused at the start', async () => {
  const app = await start(single(() => succeeded(null)));
  for (const concurrency of [0, -1, 1.5])
    expect(() =>
      app.app.get(TaskTypes).register(
        { ...single(() => succeeded(null)).options, type: 'test.limited', concurrency },
        {
          run: () => succeeded(null),
        },
      ),
    ).toThrow(StartError);
});
