import { afterAll, beforeAll, expect, describe, it } from '@jest/globals';
import { ChunkWork } from '../../src/workers/chunk.work.js';
import { LEASE_MS, TestEngine } from '../support/engine.js';
import { single } from '../support/handlers.js';
import { succeeded } from '../../src/jobs/task-handler.js';

/** A record may come before the heartbeat's next look, and be the first to find out. */

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterAll(() => engine.stop());

/** A chunk of which one task has its result and another one runs. @returns what the running one is told at last */
async function running() {
  const job = await engine.submit(2);
  const lease = await engine.claimOne({ places: 2 });
  const { options, handler } = single(() => succeeded(null));
  const work = new ChunkWork(lease, { ...options, handler }, engine.chunks, LEASE_MS, new Set());
  const told: string[] = [];
  work.settlement.settle(work.next()!, succeeded('one'));
  work.next();
  work.calls.add({ elapsedMs: 0, isOverdue: () => false, abort: (why) => told.push(why) });
  return { job, lease, work, told };
}

describe('a running handler whose chunk has a record refused', () => {
  it('hears that the job has ended, where that is why', async () => {
    const { job, work, told } = await running();
    await engine.control.kill(job);
    await work.flush();
    expect(told).toEqual(['ended']);
    expect(await engine.counts(job)).toMatchObject({ progress: 0, results: 0 });
  });

  it('hears that the lease is lost, where another worker may have the chunk', async () => {
    const { job, lease, work, told } = await running();
    await engine.expire(lease);
    await work.flush();
    expect(told).toEqual(['lost']);
    expect(await engine.counts(job)).toMatchObject({ progress: 0, results: 0 });
  });
});
