import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { numbered, Scene, TIME } from '../contract/contract-support.js';
import { expectError, expectInvalid } from '../http/http-support.js';
import { waitFor } from '../support/wait-for.js';

const WORKERS = '/api/v2/workers.json';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene.close());

const listed = async (as = scene.user) => (await scene.get(WORKERS, {}, as)).body.workers;

describe('the list of workers', () => {
  test('has who is alive, and what it knows', async () => {
    const workers = await waitFor(async () => {
      const found = await listed();
      return found.length > 0 && found;
    });
    expect(workers).toEqual([
      {
        name: expect.stringMatching(/^.+:\d+:\w+$/),
        types: expect.arrayContaining(['test.staged', 'tickets.update']),
        concurrency: 20,
        started_at: expect.stringMatching(TIME),
        seen_at: expect.stringMatching(TIME),
        alive: true,
        running: [],
      },
    ]);
  });

  test('has what each holds of the own account, and of no other', async () => {
    const stranger = await scene.served.app.addUser('bo@example.org', 'globex');
    const id = await scene.submit(numbered(3, { waits: true }), { name: 'Nightly' });
    const [worker] = await waitFor(async () => {
      const found = await listed();
      return found[0]?.running.length > 0 && found;
    });
    expect(worker.running).toEqual([
      {
        job_id: id,
        job_name: 'Nightly',
        type: 'test.staged',
        tasks: 3,
        first_index: 0,
        leased_at: expect.stringMatching(TIME),
        lease_expires_at: expect.stringMatching(TIME),
      },
    ]);
    expect(worker.running[0].lease_expires_at > worker.running[0].leased_at).toBe(true);
    expect((await listed(stranger)).map((one: { running: unknown[] }) => one.running)).toEqual([[]]);
    scene.stage.letGo(id);
    await scene.ended(id);
    await waitFor(async () => (await listed())[0].running.length === 0);
  });

  test('says which have fallen silent', async () => {
    const { prisma } = scene.served.app;
    await prisma.$executeRaw`
      INSERT INTO workers (name, concurrency, seen_at) VALUES ('gone:1:abcdef', 1, clock_timestamp() - interval '16 seconds')`;
    const alive = (await listed()).map((one: { name: string; alive: boolean }) => [
      one.name.startsWith('gone'),
      one.alive,
    ]);
    expect(alive).toEqual([
      [false, true],
      [true, false],
    ]);
    await prisma.worker.delete({ where: { name: 'gone:1:abcdef' } });
  });

  test('has at most a hundred leases of a worker, and a thousand workers', async () => {
    const { prisma } = scene.served.app;
    const [{ name }] = await listed();
    const id = await scene.submit(numbered(1, { waits: true }));
    await prisma.$executeRaw`
      INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks, state, lease_id, leased_at,
                               lease_expires_at, worker, slots)
      SELECT ${id}::uuid, ${scene.user.accountId}, 'test.none', 0, n, 1, '[{}]', 'leased', gen_random_uuid(), clock_timestamp(),
             clock_timestamp() + interval '1 hour', ${name}, 1 FROM generate_series(1, 150) n`;
    await prisma.$executeRaw`
      INSERT INTO workers (name, concurrency) SELECT 'many:1:' || n, 1 FROM generate_series(1, 1000) n`;
    const workers = await listed();
    expect(workers).toHaveLength(1_000);
    expect(workers.find((one: { name: string }) => one.name === name).running).toHaveLength(100);
    await prisma.$executeRaw`DELETE FROM task_chunks WHERE type = 'test.none'`;
    await prisma.$executeRaw`DELETE FROM workers WHERE name LIKE 'many:%'`;
    scene.stage.letGo(id);
    await scene.ended(id);
  });

  test('is for users alone, and takes no parameter', async () => {
    expectError(await scene.served.app.get(WORKERS, null), 401, 'Unauthorized');
    expectInvalid(await scene.get(`${WORKERS}?alive=true`), 'alive');
  });
});
