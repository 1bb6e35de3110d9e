import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Lease } from '../../src/workers/lease.sql.js';
import { isCondemned, isLone, partsOf } from '../../src/workers/suspicion.js';
import { LEASE_MS, positionsOf, recorded, successor, TestEngine } from '../support/engine.js';

/**
 * A worker that is killed 200 times at random, every 300 ms of its life on average, while it runs tasks of 20 ms, 20 at once,
 * and records what is done every 250 ms. Its time is made up, its database is real. Nothing that it runs is at fault.
 */

const TASK_MS = 20;
const PLACES = 20;
const FLUSH_MS = 250;
const LIFE_MS = 300;
const KILLS = Number(process.env['RANDOM_KILLS'] ?? 200);
const TASKS = 100_000;

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterAll(() => engine.stop());

/** Numbers in [0, 1), the same in every run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class DoomedWorker {
  kills = 0;
  blamed = 0;
  #leftMs: number;

  constructor(readonly random: () => number) {
    this.#leftMs = this.#life();
  }

  #life(): number {
    return -Math.log(1 - this.random()) * LIFE_MS;
  }

  /** @returns false: nothing is left to do */
  async step(): Promise<boolean> {
    const lease = (await engine.claimSuspect()) ?? (await engine.claim({ places: PLACES }))[0];
    if (!lease) return false;
    if (isCondemned(lease)) this.blamed += 1;
    await this.#run(lease);
    return true;
  }

  async #run(lease: Lease): Promise<void> {
    const done = lease.recorded > 0 ? await engine.chunks.recordedPositions(lease) : new Set<number>();
    let open = positionsOf(lease).filter((position) => !done.has(position));
    let ref = lease;
    if (lease.suspect && !isLone(lease)) {
      const [first = [], ...others] = partsOf(open);
      const kept = await engine.chunks.finish(lease, recorded([]), [
        successor(first, { suspect: true, ...(first.length > 1 && { keepsLease: true }) }),
        ...others.map((part) => successor(part, { suspect: true })),
      ]);
      if (kept === null) return;
      ref = { ...lease, chunkId: kept };
      open = first;
    }
    for (let sinceFlushMs = 0; ; sinceFlushMs += TASK_MS) {
      const ran = Math.min(open.length, (sinceFlushMs / TASK_MS) * PLACES);
      if (ran === open.length) break;
      if (sinceFlushMs >= FLUSH_MS) {
        await engine.chunks.flush(ref, recorded(open.slice(0, ran)), LEASE_MS);
        open = open.slice(ran);
        sinceFlushMs = 0;
      }
      this.#leftMs -= TASK_MS;
      if (this.#leftMs < 0 && this.kills < KILLS) {
        this.kills += 1;
        this.#leftMs = this.#life();
        await engine.expire(ref);
        return;
      }
    }
    await engine.chunks.finish(ref, recorded(open), []);
  }
}

it('200 kills at random blame no innocent task', async () => {
  const job = await engine.submit(TASKS);
  const worker = new DoomedWorker(numbers(Number(process.env['SEED'] ?? 1)));
  while (worker.kills < KILLS && (await worker.step()));
  expect(worker).toMatchObject({ kills: KILLS, blamed: 0 });
  const counts = await engine.counts(job);
  expect(counts).toMatchObject({ status: 'working', failed: 0, progress: counts.results });
}, 120_000);
