import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectInvalid, JOBS, SEVEN_KEYS } from '../http/http-support.js';
import { waitFor } from '../support/wait-for.js';
import { CALLBACKS, Receiver, verified } from '../webhooks/receiver.js';
import { jobPath, numbered, Scene } from './contract-support.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open({ env: CALLBACKS });
});
afterAll(() => scene.close());

const demo = async (type: string, tasks: readonly object[], options: object = {}): Promise<string> =>
  (await scene.post(JOBS, { type, tasks, ...options })).body.id as string;
const results = async (id: string) => (await scene.get(jobPath(id, 'results'))).body.results;

describe('what a submission asks for is done', () => {
  test('priority: the job with the higher one begins first', async () => {
    const begun = scene.stage.begun.length;
    const blocker = await scene.submit(numbered(20, { waits: true }));
    await waitFor(() => scene.stage.begun.length === begun + 20);
    const low = await scene.submit([{ n: 1 }], { priority: -1 });
    const high = await scene.submit([{ n: 2 }], { priority: 1 });
    scene.stage.letGo(blocker);
    for (const id of [blocker, low, high]) await scene.ended(id);
    expect(scene.stage.begun.slice(begun + 20)).toEqual([2, 1]);
  });

  test('max_attempts: a task that keeps failing is tried so often', async () => {
    const once = await demo('demo.fail', [{ times: 5 }], { max_attempts: 1 });
    expect(await scene.ended(once)).toMatchObject({ status: 'completed', progress: 1 });
    expect((await results(once))[0]).toMatchObject({ attempts: 1, success: false });
    const twice = await demo('demo.fail', [{ times: 1 }], { max_attempts: 2 });
    await scene.ended(twice);
    expect((await results(twice))[0]).toMatchObject({ attempts: 2, success: true });
  });

  test('max_failures: a job in which more tasks have failed is failed, also at its last task', async () => {
    const tasks = [...numbered(2), { n: 2, fails: 'Broken' }, { n: 3, fails: 'Broken' }];
    const id = await scene.submit(tasks, { max_failures: 1 });
    expect(await scene.ended(id)).toMatchObject({ status: 'failed' });
    const enough = await scene.submit(tasks, { max_failures: 2 });
    expect(await scene.ended(enough)).toMatchObject({ status: 'completed', progress: 4 });
    const unlimited = await scene.submit(tasks, { max_failures: null });
    expect(await scene.ended(unlimited)).toMatchObject({ status: 'completed', progress: 4 });
  });

  test('task_timeout: a task that runs for longer fails with TaskTimeout', async () => {
    const id = await scene.submit(numbered(1, { waits: true }), { task_timeout: 1, max_attempts: 1 });
    expect(await scene.ended(id)).toMatchObject({ status: 'completed', results: [{ success: false }] });
    expect((await results(id))[0]).toMatchObject({ error: 'TaskTimeout', attempts: 1 });
  });

  test('start_at: nothing runs before it', async () => {
    const startAt = Date.now() + 1_000;
    const id = await scene.submit(numbered(1), { start_at: new Date(startAt).toISOString() });
    expect((await scene.status(id)).progress).toBe(0);
    await scene.ended(id);
    expect(Date.parse((await scene.job(id)).started_at)).toBeGreaterThanOrEqual(startAt);
  });

  test('deadline: a job that is not done by then is failed', async () => {
    const deadline = new Date(Date.now() + 1_000).toISOString();
    const id = await scene.submit(numbered(1, { waits: true }), { deadline });
    const { status, message } = await scene.ended(id);
    expect(status).toBe('failed');
    expect(message).toMatch(/^Failed at .*: the deadline has passed$/);
  });

  test('deadline: one before start_at is refused', async () => {
    const [start_at, deadline] = ['2130-01-02T00:00:00Z', '2130-01-01T00:00:00Z'];
    const job = { type: 'test.staged', tasks: [{ n: 0 }], start_at, deadline };
    expectInvalid(await scene.post(JOBS, job), 'deadline');
  });

  test('callback_url: it is told of the end of the job once, signed', async () => {
    const receiver = await Receiver.start();
    try {
      const id = await scene.completed(numbered(2), { callback_url: receiver.url });
      await waitFor(async () => (await scene.job(id)).callback.state === 'delivered');
      expect(receiver.received).toHaveLength(1);
      const { type, data } = verified(receiver.received[0]!);
      expect([type, Object.keys(data), data['status']]).toEqual(['job.completed', SEVEN_KEYS, 'completed']);
      expect(data['id']).toBe(id);
    } finally {
      await receiver.stop();
    }
  });
});

describe('the demo types', () => {
  test('demo.sleep sleeps for ms, and its result says so', async () => {
    const began = performance.now();
    const id = await demo('demo.sleep', [{ ms: 100, note: 'a nap' }]);
    expect((await scene.ended(id)).results).toEqual([
      { ms: 100, note: 'a nap', action: 'sleep', errors: '', success: true, status: 'Slept' },
    ]);
    expect(performance.now() - began).toBeGreaterThanOrEqual(99);
  });

  test('demo.sleep stops early when it is aborted', async () => {
    const id = await demo('demo.sleep', [{ ms: 3_600_000 }], { task_timeout: 3_600 });
    await waitFor(async () => (await scene.job(id)).counts.running === 1);
    await scene.act(id, 'kill');
    await waitFor(
      async () => (await scene.served.app.prisma.taskChunk.count({ where: { state: 'leased' } })) === 0,
    );
  });

  test('demo.fail fails its first attempts with its message, then succeeds', async () => {
    const id = await demo('demo.fail', [{ times: 1, message: 'Not yet', note: 'x' }], { max_attempts: 1 });
    expect((await scene.ended(id)).results).toMatchObject([
      { success: false, status: 'Failed', errors: 'Not yet' },
    ]);
    const again = await demo('demo.fail', [{ times: 1 }]);
    expect((await scene.ended(again)).results).toMatchObject([{ success: true, status: 'Succeeded' }]);
  });
});
