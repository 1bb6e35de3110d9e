import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectError, JOBS, SEVEN_KEYS } from '../http/http-support.js';
import { waitFor } from '../support/wait-for.js';
import { jobPath, numbered, Scene, statusPath, TIME } from './contract-support.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open({ env: { RETENTION_HOURS: '48' } });
});
afterAll(() => scene.close());

const START_LATER = { start_at: '2130-01-01T00:00:00Z' };
const MIXED = [{ n: 0 }, { n: 1, fails: 'Broken' }, { n: 2, isBusy: true }, { n: 3, waits: true }];
const running = (id: string, count: number) =>
  waitFor(async () => (await scene.job(id)).counts.running === count, { what: `${count} running` });
const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b);
const remove = (id: string) => scene.served.app.call('DELETE', jobPath(id), scene.user);

describe('the full resource', () => {
  test('has the keys of the status less its results, and all else there is to know', async () => {
    const id = await scene.submit(numbered(1), START_LATER);
    const { status, body } = await scene.get(jobPath(id));
    expect(status).toBe(200);
    expect(Object.keys(body).slice(0, 6)).toEqual(SEVEN_KEYS.slice(0, 6));
    expect(body).not.toHaveProperty('results');
    expect(body).toMatchObject({
      type: 'test.staged',
      name: null,
      metadata: null,
      priority: 0,
      counts: { succeeded: 0, failed: 0, retrying: 0, running: 0, pending: 1 },
      paused: false,
      created_by: scene.user.email,
      created_at: expect.stringMatching(TIME),
      started_at: null,
      finished_at: null,
      expires_at: null,
      retry_of: null,
      retried_by: null,
      eta_seconds: null,
    });
  });

  test('is what the list of jobs has entries of', async () => {
    const id = await scene.submit(numbered(1), START_LATER);
    const { body } = await scene.get(`${JOBS}?page[size]=1`);
    expect(Object.keys(body)).toEqual(['jobs', 'meta', 'links']);
    expect(body.jobs).toEqual([await scene.job(id)]);
  });

  test('counts what succeeded, failed, waits for another attempt, runs and has not begun', async () => {
    const [fails, isBusy] = [
      { n: 8, fails: 'Broken' },
      { n: 9, isBusy: true },
    ];
    const id = await scene.submit([...numbered(8), fails, isBusy, ...numbered(30, { waits: true })]);
    const { counts } = await waitFor(async () => {
      const job = await scene.job(id);
      expect(sum(job.counts)).toBe(job.total);
      return job.counts.retrying === 1 && job.counts.running > 0 && job;
    });
    expect(Object.keys(counts)).toEqual(['succeeded', 'failed', 'retrying', 'running', 'pending']);
    expect(counts).toMatchObject({ succeeded: 8, failed: 1, retrying: 1 });
    expect(counts.pending).toBe(30 - counts.running);
    await scene.act(id, 'kill');
  });

  test('says when the job began and ended, and when it goes: RETENTION_HOURS after its end', async () => {
    const job = await scene.job(await scene.completed(numbered(1)));
    for (const key of ['started_at', 'finished_at', 'expires_at']) expect(job[key]).toMatch(TIME);
    expect(Date.parse(job.expires_at) - Date.parse(job.finished_at)).toBe(48 * 3_600_000);
  });

  test('estimates the seconds that are left while the job runs', async () => {
    const id = await scene.submit([{ n: 0 }, { n: 1, waits: true }]);
    const eta = await waitFor(async () => {
      const { eta_seconds } = await scene.job(id);
      return eta_seconds !== null && { eta_seconds };
    });
    expect(eta.eta_seconds).toBeGreaterThanOrEqual(0);
    await scene.act(id, 'kill');
    expect((await scene.job(id)).eta_seconds).toBeNull();
  });
});

describe('a kill', () => {
  test('answers 200 with the killed status', async () => {
    const id = await scene.submit(numbered(3), START_LATER);
    const { status, body } = await scene.act(id, 'kill');
    expect([status, Object.keys(body), body.status]).toEqual([200, SEVEN_KEYS, 'killed']);
  });

  test('aborts the handlers that run within a second, and no result comes after it', async () => {
    const [begun, aborted] = [scene.stage.begun.length, scene.stage.aborted];
    const id = await scene.submit([{ n: 0 }, ...numbered(5, { waits: true })]);
    await waitFor(() => scene.stage.begun.length === begun + 6);
    const killed = await scene.act(id, 'kill');
    await waitFor(() => scene.stage.aborted >= aborted + 5, { timeoutMs: 1_000 });
    await waitFor(
      async () => (await scene.served.app.prisma.taskChunk.count({ where: { state: 'leased' } })) === 0,
    );
    expect(await scene.status(id)).toEqual(killed.body);
  });

  test('of a killed job is a 200 again', async () => {
    const id = await scene.submit(numbered(1), START_LATER);
    const [first, second] = [await scene.act(id, 'kill'), await scene.act(id, 'kill')];
    expect([second.status, second.body]).toEqual([200, first.body]);
  });

  test('of a job that ended otherwise is a 409', async () => {
    expectError(await scene.act(await scene.completed(numbered(1)), 'kill'), 409, 'JobFinished');
  });
});

describe('a pause', () => {
  test('lets running tasks finish and begins no others, until the job is resumed', async () => {
    const begun = scene.stage.begun.length;
    const id = await scene.submit(numbered(100, { waits: true }));
    await waitFor(() => scene.stage.begun.length - begun === 20);
    const paused = await scene.act(id, 'pause');
    expect([paused.status, paused.body.paused, paused.body.status]).toEqual([200, true, 'working']);
    // The worker has heard of it when it has handed back what had not begun.
    await running(id, 20);
    scene.stage.letGo(id);
    await scene.progress(id, 20);
    await running(id, 0);
    expect(scene.stage.begun.length - begun).toBe(20);
    const resumed = await scene.act(id, 'resume');
    expect([resumed.status, resumed.body.paused]).toEqual([200, false]);
    expect(await scene.ended(id)).toMatchObject({ status: 'completed', progress: 100 });
  });

  test('may be asked for twice, and so may a resumption', async () => {
    const id = await scene.submit(numbered(1), START_LATER);
    for (const what of ['pause', 'pause', 'resume', 'resume'])
      expect((await scene.act(id, what)).body.paused).toBe(what === 'pause');
  });

  test('of an ended job is a 409, and so is a resumption', async () => {
    const id = await scene.completed(numbered(1));
    for (const what of ['pause', 'resume']) expectError(await scene.act(id, what), 409, 'JobFinished');
  });
});

describe('a retry', () => {
  test('is a new job of the tasks that failed: 202, linked both ways', async () => {
    const tasks = numbered(6).map((task) => (task.n % 2 ? { ...task, fails: 'Broken' } : task));
    const id = await scene.completed(tasks, { name: 'nightly', metadata: { run: 7 } });
    const { status, body, headers } = await scene.act(id, 'retry');
    expect(status).toBe(202);
    expect(body).toMatchObject({ total: 3, retry_of: id, name: 'nightly', metadata: { run: 7 } });
    expect(headers.get('location')).toBe(body.url);
    expect(await scene.job(id)).toMatchObject({ retried_by: body.id, retry_of: null });
    await scene.ended(body.id);
    const { results } = (await scene.get(jobPath(body.id, 'results'))).body;
    expect(results.map((row: { task: { n: number } }) => row.task.n)).toEqual([1, 3, 5]);
  });

  test('of a killed job has the tasks that failed and those that were never processed', async () => {
    const id = await scene.submit(MIXED);
    await scene.progress(id, 2);
    await scene.act(id, 'kill');
    const { body } = await scene.act(id, 'retry');
    expect(body).toMatchObject({ total: 3, retry_of: id });
    await scene.act(body.id, 'kill');
  });

  test('of a failed job has the tasks that failed and those that were never processed', async () => {
    const id = await scene.submit([{ n: 0, fails: 'Broken' }, ...numbered(2, { waits: true })], {
      max_failures: 0,
    });
    expect(await scene.ended(id)).toMatchObject({ status: 'failed', progress: 1 });
    const { body } = await scene.act(id, 'retry');
    expect(body.total).toBe(3);
    await scene.act(body.id, 'kill');
  });

  test('asked for twice answers with the same new job', async () => {
    const id = await scene.completed([{ n: 0, fails: 'Broken' }]);
    const [first, second] = [await scene.act(id, 'retry'), await scene.act(id, 'retry')];
    expect([second.status, second.body.id]).toEqual([202, first.body.id]);
  });

  test('of a working job is a 409, and so is one of a job in which all tasks succeeded', async () => {
    const working = await scene.submit(numbered(1), START_LATER);
    expectError(await scene.act(working, 'retry'), 409, 'JobWorking');
    const done = await scene.completed(numbered(1));
    expectError(await scene.act(done, 'retry'), 409, 'NothingToRetry');
  });
});

describe('a deletion', () => {
  test('removes an ended job and its results: 204, then 404', async () => {
    const id = await scene.completed(numbered(2));
    const { status, text } = await remove(id);
    expect([status, text]).toEqual([204, '']);
    for (const path of [statusPath(id), jobPath(id), jobPath(id, 'results')])
      expectError(await scene.get(path), 404, 'RecordNotFound');
    expectError(await remove(id), 404, 'RecordNotFound');
    expect((await scene.get(JOBS)).text).not.toContain(id);
  });

  test('of a working job is a 409, and the job goes on', async () => {
    const id = await scene.submit(numbered(1), START_LATER);
    expectError(await remove(id), 409, 'JobWorking');
    expect((await scene.status(id)).status).toBe('working');
  });
});
