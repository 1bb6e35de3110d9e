import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../src/workers/lease.sql.js';
import { positionsOf, recorded, successor, TestEngine } from '../support/engine.js';

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterAll(() => engine.stop());
beforeEach(() => engine.sql.query('DELETE FROM task_chunks; DELETE FROM turns; DELETE FROM virtual_times'));

const slots = (leases: readonly Lease[]): number => leases.reduce((sum, lease) => sum + lease.slots, 0);

describe.each([
  ['a type', { limit: 10 }],
  ['an account', { accountLimit: 10 }],
])('a limit of the tasks of %s that run at once', (_, limits) => {
  const claim = (more: object = {}) => engine.claim({ places: 1_000, ...limits, ...more });

  it('holds when eight claim at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      await engine.sql.query('DELETE FROM task_chunks');
      await engine.submit(300);
      const claims = await Promise.all(Array.from({ length: 8 }, () => claim({ chunks: 1, places: 3 })));
      expect(slots(claims.flat())).toBe(10);
      const { rows } = await engine.sql.query('SELECT sum(slots)::int AS slots FROM task_chunks');
      expect(rows).toEqual([{ slots: 10 }]);
    }
  });

  it('gives the last chunk as many slots as are left', async () => {
    await engine.submit(2_000);
    // Chunks of 20, of which a worker with six places would run six at once.
    const wanted = { type: 'test.task', taskPlaces: 1, isWhole: false, takesLane: false, atOnce: 6 };
    const types = [{ ...wanted, limit: 'limit' in limits ? limits.limit : null }];
    expect((await claim({ types })).map((lease) => lease.slots)).toEqual([6, 4]);
    expect(await claim({ types })).toEqual([]);
  });

  it.each<[string, (lease: Lease) => Promise<unknown>]>([
    ['a finish', (lease) => engine.chunks.finish(lease, recorded(positionsOf(lease)), [])],
    ['a hand-back', (lease) => engine.chunks.finish(lease, recorded([]), [successor(positionsOf(lease))])],
    ['the end of the lease', (lease) => engine.expire(lease)],
    [
      'a kill',
      async (lease) => {
        await engine.control.kill(lease.jobId);
        await engine.control.park();
      },
    ],
  ])('is free again after %s', async (__, end) => {
    await engine.submit(10);
    await engine.submit(10);
    const [lease] = await claim();
    expect(lease!.slots).toBe(10);
    expect(await claim()).toEqual([]);
    await end(lease!);
    expect(slots(await claim())).toBe(10);
  });

  it('stays with the part of a chunk that keeps the lease', async () => {
    await engine.submit(10);
    await engine.submit(10);
    const [lease] = await claim();
    await engine.chunks.finish(lease!, recorded([0]), [
      successor([1, 2, 3, 4], { keepsLease: true }),
      successor([5, 6, 7, 8, 9]),
    ]);
    expect(slots(await claim())).toBe(6);
  });
});

describe('a limit', () => {
  it('of one account leaves the others alone, and one of a type the other types', async () => {
    const other = await engine.addAccount('other');
    await engine.submit(1_000);
    await engine.submit(10, { accountId: other });
    expect(slots(await engine.claim({ places: 1_000, accountLimit: 5 }))).toBe(10);
    await engine.submit(10, { type: 'test.other' });
    await engine.claim({ places: 1_000, limit: 5 });
    expect(await engine.claim({ places: 1_000, limit: 5 })).toEqual([]);
    expect(slots(await engine.claim({ type: 'test.other', places: 1_000 }))).toBe(10);
  });

  it('holds for suspects of one task too', async () => {
    await engine.submit(1);
    await engine.expire(await engine.claimOne());
    await engine.submit(5);
    await engine.claim({ places: 100, limit: 5 });
    expect(await engine.claimSuspect(true, 5)).toBeNull();
    expect(await engine.claimSuspect(true, 6)).toMatchObject({ slots: 1 });
  });
});
