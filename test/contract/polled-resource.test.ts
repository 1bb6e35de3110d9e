import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectError, JOBS, SEVEN_KEYS } from '../http/http-support.js';
import { bigJob } from '../jobs/results-support.js';
import { TestApp, type Answer } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait-for.js';
import { jobPath, MESSAGE_TIME, NO_JOB, numbered, Scene, statusPath } from './contract-support.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene.close());

const poll = (id: string, headers: Record<string, string> = {}) => scene.get(statusPath(id), headers);
/** A job that does not begin. */
const waiting = () => scene.submit(numbered(3), { start_at: '2130-01-01T00:00:00Z' });

describe('a job status', () => {
  test('is a bare object of seven keys in their order', async () => {
    for (const id of [await waiting(), await scene.completed(numbered(2))]) {
      const answer = await poll(id);
      expect(answer.status).toBe(200);
      expect(Object.keys(answer.body)).toEqual(SEVEN_KEYS);
      expect(answer.text).toMatch(/^\{"id":.*,"results":\[.*\]\}$/);
    }
  });

  test('has a url that is absolute, ends in .json and leads to itself', async () => {
    const id = await waiting();
    const { url } = await scene.status(id);
    expect(url).toBe(`${scene.served.app.origin}/api/v2/job_statuses/${id}.json`);
    expect((await scene.get(url)).body.id).toBe(id);
  });

  test('has the origin of PUBLIC_URL in its url where that is set', async () => {
    const database = await createTestDatabase();
    const app = await TestApp.start(database.url, {
      role: 'api',
      env: { PUBLIC_URL: 'https://jobs.example.com' },
    });
    try {
      const job = { type: 'demo.sleep', tasks: [{}] };
      const { body, headers } = await app.post(JOBS, await app.addUser(), job);
      expect(body.url).toBe(`https://jobs.example.com/api/v2/job_statuses/${body.id}.json`);
      expect(headers.get('location')).toBe(body.url);
    } finally {
      await app.stop();
      await database.drop();
    }
  });

  test('counts its tasks in total, and those processed in progress, failed ones too', async () => {
    const id = await scene.submit([{ n: 0 }, { n: 1, fails: 'Broken' }, { n: 2, waits: true }]);
    await scene.progress(id, 2);
    expect(await scene.status(id)).toMatchObject({ total: 3, progress: 2 });
    await scene.act(id, 'kill');
  });

  test('that does not exist is a 404', async () => {
    expectError(await poll(NO_JOB), 404, 'RecordNotFound');
  });
});

describe('the status of a job', () => {
  test('is working before it begins, while it is paused and while it runs', async () => {
    const id = await waiting();
    expect(await scene.status(id)).toMatchObject({ status: 'working', progress: 0 });
    await scene.act(id, 'pause');
    expect((await scene.status(id)).status).toBe('working');
    const running = await scene.submit(numbered(1, { waits: true }));
    await waitFor(async () => (await scene.job(running)).counts.running === 1);
    expect((await scene.status(running)).status).toBe('working');
    await scene.act(running, 'kill');
  });

  test('is completed when all tasks have run, whatever became of them', async () => {
    const id = await scene.completed(numbered(3, { fails: 'Broken' }));
    expect(await scene.status(id)).toMatchObject({ status: 'completed', progress: 3 });
  });

  test('is failed when it could not be carried on', async () => {
    const id = await scene.submit([{ n: 0, fails: 'Broken' }], { max_failures: 0 });
    expect(await scene.ended(id)).toMatchObject({ status: 'failed' });
  });

  test('is killed after a kill', async () => {
    const id = await waiting();
    await scene.act(id, 'kill');
    expect(await scene.status(id)).toMatchObject({ status: 'killed', progress: 0 });
  });
});

describe('the message', () => {
  test('is null until the handler says something, then what it said last', async () => {
    expect((await scene.status(await waiting())).message).toBeNull();
    const id = await scene.submit([{ n: 0, says: 'Halfway there', waits: true }]);
    await waitFor(async () => (await scene.status(id)).message === 'Halfway there');
    await scene.act(id, 'kill');
  });

  test('of a completed job is when it completed', async () => {
    const { message } = await scene.status(await scene.completed([{ n: 0, says: 'Nearly' }]));
    expect(message).toMatch(new RegExp(`^Completed at ${MESSAGE_TIME}$`));
    expect(Math.abs(Date.parse(message.slice('Completed at '.length)) - Date.now())).toBeLessThan(60_000);
  });

  test('of a killed job is when it was killed', async () => {
    const id = await waiting();
    await scene.act(id, 'kill');
    expect((await scene.status(id)).message).toMatch(new RegExp(`^Killed at ${MESSAGE_TIME}$`));
  });

  test('of a failed job is when and why it failed', async () => {
    const id = await scene.submit([{ n: 0, fails: 'Broken' }], { max_failures: 0 });
    const { message } = await scene.ended(id);
    expect(message).toMatch(new RegExp(`^Failed at ${MESSAGE_TIME}: .{10,}$`));
  });
});

describe('the results', () => {
  test('are as many as the progress at every poll, and neither ever shrinks', async () => {
    const id = await scene.submit([...numbered(300), { n: 300, waits: true }]);
    let last = 0;
    const check = ({ progress, results, total }: Answer['body']) => {
      expect(results).toHaveLength(progress);
      expect(progress).toBeGreaterThanOrEqual(last);
      expect(progress).toBeLessThanOrEqual(total);
      last = progress;
    };
    await waitFor(
      async () => {
        check(await scene.status(id));
        return last === 300;
      },
      { everyMs: 1 },
    );
    scene.stage.letGo(id);
    check(await scene.ended(id));
    expect(last).toBe(301);
  });

  test('stand in the order of the tasks, also while some are missing', async () => {
    const tasks = numbered(20).map((task) => ({ ...task, waits: task.n % 4 === 0 }));
    const id = await scene.submit(tasks);
    await scene.progress(id, 15);
    const { results } = await scene.status(id);
    const done = tasks.filter((task) => !task.waits).map(({ n }) => ({ n }));
    expect(results).toEqual(done);
    scene.stage.letGo(id);
    expect((await scene.ended(id)).results).toEqual(tasks.map(({ n }) => ({ n })));
  });

  test('of a completed job have at i what the task at i returned', async () => {
    const id = await scene.completed(numbered(50));
    expect((await scene.status(id)).results).toEqual(numbered(50));
  });

  test('are an empty list, never null, where nothing is processed', async () => {
    expect((await scene.status(await waiting())).results).toEqual([]);
  });

  test('have an entry for a failed task: success false, status Failed, errors a sentence', async () => {
    const id = await scene.completed([{ n: 0 }, { n: 1, fails: 'Broken' }]);
    expect((await scene.status(id)).results[1]).toEqual({
      success: false,
      status: 'Failed',
      errors: 'Task 1 did not work',
    });
  });

  test('are all in the body up to a thousand, without a Link', async () => {
    const { body, headers } = await poll(await bigJob(scene.served, 1_000));
    expect(body.results).toHaveLength(1_000);
    expect(headers.has('link')).toBe(false);
  });

  test('beyond a thousand are the first thousand, and a Link leads to the next ones', async () => {
    const id = await bigJob(scene.served, 1_003);
    const { body, headers } = await poll(id);
    expect([body.progress, body.results.length, body.results[999].n]).toEqual([1_003, 1_000, 999]);
    const [, next] = /^<([^>]+)>; rel="next"$/.exec(headers.get('link')!)!;
    expect(new URL(next!).pathname).toBe(jobPath(id, 'results'));
    const rest = (await scene.get(next!)).body.results;
    expect(rest.map((row: { index: number }) => row.index)).toEqual([1_000, 1_001, 1_002]);
  });
});

describe('polling', () => {
  test('has a strong ETag, with which it is a 304 until the job changes', async () => {
    const id = await waiting();
    const tag = (await poll(id)).headers.get('etag')!;
    expect(tag).toMatch(/^"[^"]+"$/);
    const known = await poll(id, { 'if-none-match': tag });
    expect([known.status, known.text]).toEqual([304, '']);
    await scene.act(id, 'kill');
    const changed = await poll(id, { 'if-none-match': tag });
    expect([changed.status, changed.body.status]).toEqual([200, 'killed']);
    expect(changed.headers.get('etag')).not.toBe(tag);
  });

  test('with Prefer: wait is held until the job ends', async () => {
    const id = await scene.submit(numbered(1, { waits: true }));
    const held = poll(id, { prefer: 'wait=60' });
    await waitFor(async () => (await scene.job(id)).counts.running === 1);
    scene.stage.letGo(id);
    const { status, body, headers } = await held;
    expect([status, body.status]).toEqual([200, 'completed']);
    expect(headers.get('preference-applied')).toBe('wait=60');
    expect(headers.has('retry-after')).toBe(false);
  });

  test('with Prefer: wait is answered with what there is when the seconds have passed', async () => {
    const began = performance.now();
    const { status, body, headers } = await poll(await waiting(), { prefer: 'wait=1' });
    expect(performance.now() - began).toBeGreaterThan(950);
    expect([status, body.status, headers.get('preference-applied')]).toEqual([200, 'working', 'wait=1']);
  });

  test('waits a minute at most, and says so', async () => {
    const id = await scene.completed(numbered(1));
    const { headers } = await poll(id, { prefer: 'wait=61' });
    expect(headers.get('preference-applied')).toBe('wait=60');
  });

  test('with Prefer: wait and If-None-Match is held until the job changes', async () => {
    const id = await waiting();
    const tag = (await poll(id)).headers.get('etag')!;
    const held = poll(id, { prefer: 'wait=60', 'if-none-match': tag });
    await scene.act(id, 'pause');
    const { status, body, headers } = await held;
    expect([status, body.status]).toEqual([200, 'working']);
    expect(headers.get('preference-applied')).toBe('wait=60');
  });

  test('with both is a 304 when nothing has changed in time', async () => {
    const id = await waiting();
    const tag = (await poll(id)).headers.get('etag')!;
    const { status, headers } = await poll(id, { prefer: 'wait=1', 'if-none-match': tag });
    expect([status, headers.get('preference-applied')]).toEqual([304, 'wait=1']);
  });
});
