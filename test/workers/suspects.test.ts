import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { LeaseLost } from '../../src/errors.js';
import { succeeded } from '../../src/jobs/task-handler.js';
import { BatchRunner } from '../../src/workers/batch.runner.js';
import { ChunkWork } from '../../src/workers/chunk.work.js';
import type { Lease } from '../../src/workers/lease.sql.js';
import { Places } from '../../src/workers/places.js';
import { CRASHES_MAX, isCondemned, isLone, partsOf } from '../../src/workers/suspicion.js';
import { Solitude } from '../../src/workers/solitude.js';
import { LEASE_MS, positionsOf, recorded, successor, TestEngine } from '../support/engine.js';

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterAll(() => engine.stop());
afterEach(() => engine.sql.query('DELETE FROM task_chunks'));

/** A job of one task that is a suspect: its first crash may have been anybody's. */
async function loneSuspect(): Promise<string> {
  const job = await engine.submit(1);
  await engine.expire(await engine.claimOne());
  return job;
}

/** One sweep finds all leases run out. @returns chunks that it takes back */
async function expireAll(): Promise<number> {
  await engine.sql.query(
    "UPDATE task_chunks SET lease_expires_at = clock_timestamp() - interval '1 second' WHERE state = 'leased'",
  );
  return engine.chunks.rescue();
}

describe('a chunk whose lease has run out', () => {
  it('is a suspect, until something of it is recorded', async () => {
    const job = await engine.submit(5);
    await engine.expire(await engine.claimOne());
    expect(await engine.chunkRows(job)).toMatchObject([{ state: 'ready', suspect: true, crashes: 0 }]);
    const lease = await engine.claimOne();
    await engine.chunks.flush(lease, recorded([]), LEASE_MS);
    expect(await engine.chunkRows(job)).toMatchObject([{ suspect: true }]);
    await engine.chunks.flush(lease, recorded([0]), LEASE_MS);
    expect(await engine.chunkRows(job)).toMatchObject([{ suspect: false }]);
  });

  it('of many tasks counts no crash, however often it runs out', async () => {
    const job = await engine.submit(5);
    for (let n = 0; n < 5; n += 1) await engine.expire(await engine.claimOne());
    expect(await engine.chunkRows(job)).toMatchObject([{ suspect: true, crashes: 0 }]);
  });

  it('and was handed back before is no suspect', async () => {
    const job = await engine.submit(5);
    await engine.chunks.finish(await engine.claimOne(), recorded([]), [successor([0, 1, 2, 3, 4])]);
    expect(await engine.chunkRows(job)).toMatchObject([{ state: 'ready', suspect: false }]);
  });

  it('is none any more when a transaction has recorded something, also what is handed back of it then', async () => {
    const job = await engine.submit(3);
    await engine.expire(await engine.claimOne());
    const lease = await engine.claimOne();
    const handler = {
      run: () => {
        runner.yield();
        return succeeded(null);
      },
    };
    const type = { type: 'test.task', task: z.unknown(), transaction: true, handler };
    const work = new ChunkWork(lease, type, engine.chunks, LEASE_MS, new Set());
    const runner = new BatchRunner(work, new Places(1), engine.lanes, LEASE_MS);
    expect(await runner.run()).toBe(false);
    await work.finish(() => work.handBack(work.takeRest(), 1));
    expect(await engine.counts(job)).toMatchObject({ progress: 1 });
    expect(await engine.chunkRows(job)).toMatchObject([{ positions: [1, 2], suspect: false }]);
  });
});

describe('a suspect of one task', () => {
  it('is not among what a worker claims beside other work, which hears that it is there', async () => {
    await loneSuspect();
    expect(await engine.claim({ places: 100 })).toEqual([]);
    expect(await engine.look()).toMatchObject({ suspects: true });
    expect(await engine.claimSuspect()).toMatchObject({ suspect: true, crashes: 0 });
    expect(await engine.look()).toMatchObject({ suspects: false });
  });

  it('is not blamed for a claim whose answer never reached the worker', async () => {
    const job = await loneSuspect();
    for (let n = 0; n < CRASHES_MAX; n += 1) await engine.expire((await engine.claimSuspect(false))!);
    expect(await engine.chunkRows(job)).toMatchObject([{ suspect: true, crashes: 0 }]);
  });

  it('is blamed only for what happens while it runs alone', async () => {
    const job = await loneSuspect();
    await engine.expire((await engine.claimSuspect(false))!);
    expect(await engine.chunkRows(job)).toMatchObject([{ suspect: true, crashes: 0 }]);
    const lease = (await engine.claimSuspect(false))!;
    await engine.suspects.isolate(lease);
    await engine.expire(lease);
    expect(await engine.chunkRows(job)).toMatchObject([{ suspect: true, crashes: 1, alone: false }]);
    await expect(engine.suspects.isolate(lease)).rejects.toThrow(LeaseLost);
    await engine.expire((await engine.claimSuspect())!);
    expect(await engine.chunkRows(job)).toMatchObject([{ crashes: 2 }]);
  });

  it('is not blamed by a process that comes back: it was stopped, busy or cut off, and has not crashed', async () => {
    const job = await loneSuspect();
    const stopped = (await engine.claimSuspect())!;
    await engine.expire(stopped);
    const next = (await engine.claimSuspect())!;
    await engine.suspects.survive(stopped);
    expect(await engine.chunkRows(job)).toMatchObject([{ crashes: 1, survived: 1, alone: true }]);
    // This one hears that it is late before any sweeper does.
    await engine.suspects.survive(next);
    expect(await engine.chunkRows(job)).toMatchObject([
      { state: 'ready', crashes: 2, survived: 2, alone: false },
    ]);
    await engine.suspects.survive(next);
    expect(await engine.chunkRows(job)).toMatchObject([{ crashes: 2, survived: 2 }]);
  });

  it('is blamed no more when a worker is lost that ran no task alone', async () => {
    const [waits, runs, other] = [await loneSuspect(), await loneSuspect(), await engine.submit(20)];
    for (let n = 0; n < 2; n += 1) {
      const leases = [(await engine.claimSuspect())!, (await engine.claimSuspect())!];
      for (const lease of leases) await engine.expire(lease);
    }
    const running = (await engine.claimSuspect())!;
    expect(await engine.chunkRows(running.jobId)).toMatchObject([{ crashes: 2, survived: 0 }]);
    // Two chunks in one process, seen lost by two sweeps: that is no more than one of them says.
    const [one, two] = await engine.claim({ places: 20, worker: 'another' });
    await engine.expire(one!);
    await engine.expire(two!);
    for (const job of [waits, runs])
      expect(await engine.chunkRows(job)).toMatchObject([{ crashes: 2, survived: 2 }]);
    expect(await engine.chunkRows(other)).toMatchObject([{ crashes: 0 }, { crashes: 0 }]);
    // The crash itself does not count either when both are found by one sweep.
    const third = (await engine.claim({ places: 1, worker: 'another' }))[0]!;
    expect(await expireAll()).toBe(2);
    expect(await engine.chunkRows(running.jobId)).toMatchObject([{ crashes: 3, survived: 3 }]);
    expect(await engine.chunkRows(third.jobId)).toMatchObject([{ crashes: 0 }, { crashes: 0 }]);
  });

  it('stays blamed when the worker that ran it alone had another chunk in its name', async () => {
    const job = await loneSuspect();
    await engine.expire((await engine.claimSuspect())!);
    // Of a claim whose answer was lost this worker knows nothing.
    await engine.submit(10);
    await engine.claimOne();
    await engine.claimSuspect();
    expect(await expireAll()).toBe(2);
    expect(await engine.chunkRows(job)).toMatchObject([{ crashes: 2, survived: 0 }]);
  });

  it('is blamed no more when another one that was blamed ends well, also by a worker that has not heard of it', async () => {
    const [first, second] = [await loneSuspect(), await loneSuspect()];
    for (const job of [first, second]) {
      const lease = (await engine.claimSuspect())!;
      expect(lease.jobId).toBe(job);
      await engine.expire(lease);
      if (job === first) await engine.claimSuspect();
    }
    const held = (await engine.claimSuspect())!;
    await engine.suspects.pardon();
    expect(await engine.chunkRows(first)).toMatchObject([{ crashes: 1, survived: 1 }]);
    const { suspect, crashes, survived } = held;
    expect({ suspect, crashes, survived }).toEqual({ suspect: true, crashes: 1, survived: 0 });
    await engine.chunks.finish(held, recorded([]), [successor([0], { suspect, crashes, survived })]);
    expect(await engine.chunkRows(second)).toMatchObject([{ state: 'ready', crashes: 1, survived: 1 }]);
  });

  it('is never in the hands of two, however many ask at once', async () => {
    for (let n = 0; n < 5; n += 1) await loneSuspect();
    const taken = await Promise.all(Array.from({ length: 12 }, () => engine.claimSuspect()));
    const leases = taken.filter((lease): lease is Lease => lease !== null);
    expect(new Set(leases.map((lease) => lease.leaseId)).size).toBe(leases.length);
    expect(leases.length).toBeGreaterThan(0);
  });

  it('still runs alone when its worker drains: it keeps the lease, and a crash then counts', async () => {
    const job = await loneSuspect();
    const lease = (await engine.claimSuspect())!;
    const kept = await engine.chunks.finish(lease, recorded([]), [
      successor([0], { suspect: true, keepsLease: true }),
    ]);
    expect(await engine.chunkRows(job)).toMatchObject([{ state: 'leased', suspect: true, alone: true }]);
    await engine.expire({ ...lease, chunkId: kept! });
    expect(await engine.chunkRows(job)).toMatchObject([{ state: 'ready', crashes: 1, survived: 0 }]);
  });

  it('of a job with an order waits for its turn', async () => {
    const job = await engine.submit(20, { ordered: true });
    const first = await engine.claimOne({ places: 100 });
    await engine.chunks.finish(first, recorded([0, 1, 2, 3, 4, 5, 6, 7]), [
      successor([8], { delayMs: 60_000 }),
      successor([9], { suspect: true }),
    ]);
    expect(await engine.claimSuspect()).toBeNull();
    await engine.sql.query("UPDATE task_chunks SET visible_at = clock_timestamp() WHERE state = 'waiting'");
    await engine.chunks.promote();
    await engine.chunks.finish(await engine.claimOne(), recorded([8]), []);
    expect(positionsOf((await engine.claimSuspect())!)).toEqual([9]);
    expect(await engine.counts(job)).toMatchObject({ progress: 9 });
  });

  it('of an ended or paused job is left alone, and so is one that runs when its job is parked', async () => {
    const job = await loneSuspect();
    await engine.claimSuspect();
    await engine.sql.query("UPDATE job_statuses SET status = 'killed', finished_at = now() WHERE id = $1", [
      job,
    ]);
    await engine.control.park();
    expect(await engine.chunkRows(job)).toMatchObject([{ state: 'parked', alone: false, suspect: true }]);
    expect(await engine.claimSuspect()).toBeNull();
  });
});

describe('the rules of suspicion', () => {
  const lone = { suspect: true, size: 1, crashes: 0, survived: 0 };

  it('blame a task after three crashes alone, or ten leases lost alone by a living process', () => {
    expect(isLone({ ...lone, size: 2 })).toBe(false);
    expect(isCondemned({ ...lone, crashes: 2 })).toBe(false);
    expect(isCondemned({ ...lone, crashes: 3 })).toBe(true);
    expect(isCondemned({ ...lone, crashes: 9, survived: 7 })).toBe(false);
    expect(isCondemned({ ...lone, crashes: 10, survived: 10 })).toBe(true);
    expect(isCondemned({ ...lone, size: 2, crashes: 3 })).toBe(false);
  });

  it('find the task at fault in 3 + log2(size) crashes at most, wherever it is', () => {
    for (const size of [2, 3, 5, 10, 17, 99, 100, 101, 500, 999, 1_000]) {
      for (const at of [0, 1, Math.floor(size / 2), size - 1]) {
        let part = Array.from({ length: size }, (_, n) => n);
        let crashes = 0;
        while (part.length > 1) {
          crashes += 1;
          const parts = partsOf(part);
          expect(parts.flat()).toEqual(part);
          part = parts.find((some) => some.includes(at))!;
        }
        expect(crashes + CRASHES_MAX).toBeLessThanOrEqual(3 + Math.log2(size));
      }
    }
  });

  it('give a mass of suspects half of a worker, and the other work the other half', () => {
    const solitude = new Solitude();
    let nowMs = 0;
    let alone = 0;
    for (let step = 0; step < 10_000; step += 1) {
      if (solitude.isDue(nowMs)) {
        solitude.begin(nowMs);
        nowMs += 30;
        alone += 30;
        solitude.end(nowMs);
      } else {
        nowMs += 50;
        solitude.learn(true, false);
      }
    }
    expect(alone / nowMs).toBeGreaterThan(0.4);
    expect(alone / nowMs).toBeLessThanOrEqual(0.52);
  });

  it('let a worker that has nothing else to do go on with suspects at once', () => {
    const solitude = new Solitude();
    solitude.learn(true, false);
    expect(solitude.isDue(0)).toBe(true);
    solitude.begin(0);
    solitude.end(5_000);
    expect(solitude.isDue(5_001)).toBe(false);
    solitude.learn(true, true);
    expect(solitude.isDue(5_001)).toBe(true);
    solitude.foundNone(5_001);
    expect(solitude.isDue(9_000)).toBe(false);
  });
});
