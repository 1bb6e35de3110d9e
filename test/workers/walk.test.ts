import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { LeaseLost } from '../../src/errors.js';
import type { Lease } from '../../src/workers/lease.sql.js';
import { LEASE_MS, positionsOf, recorded, successor, TestEngine } from '../support/engine.js';

/**
 * Random walks of two workers over one job, against a model that is a set of positions: whatever the order of claims,
 * flushes, finishes, lost leases and kills, the rules hold after every step.
 */

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterAll(() => engine.stop());

const pick = fc.nat({ max: 99 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('claim' as const), by: pick, at: pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('flush' as const), by: pick, at: pick }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('finish' as const), by: pick, at: pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const), by: pick, at: pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('late' as const), by: pick, at: pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('promote' as const), by: pick, at: pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill' as const), by: pick, at: pick }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class Walk {
  readonly done = new Map<number, boolean>();
  readonly held: { lease: Lease; open: number[] }[] = [];
  readonly lost: Lease[] = [];
  status = 'working';

  constructor(
    readonly job: string,
    readonly total: number,
  ) {}

  async take(at: Step): Promise<void> {
    if (at.do === 'claim') return this.claim();
    if (at.do === 'kill') return at.at < 20 ? this.kill() : undefined;
    if (at.do === 'late') return this.writeLate(at.by);
    if (at.do === 'promote') {
      await engine.sql.query("UPDATE task_chunks SET visible_at = clock_timestamp() WHERE state = 'waiting'");
      await engine.chunks.promote();
      return;
    }
    const index = this.held.length > 0 ? at.by % this.held.length : -1;
    const mine = this.held[index];
    if (!mine) return;
    if (at.do === 'crash') {
      await engine.expire(mine.lease);
      this.lost.push(mine.lease);
      this.held.splice(index, 1);
    } else if (at.do === 'flush') await this.flush(mine, at.at);
    else await this.finish(mine, index, at.at);
  }

  async claim(): Promise<void> {
    const lease = (await engine.claim({ places: 1 }))[0] ?? (await engine.claimSuspect());
    if (!lease) return;
    expect(this.status).toBe('working');
    const recordedBefore = await engine.chunks.recordedPositions(lease);
    const open = positionsOf(lease).filter((position) => !recordedBefore.has(position));
    for (const position of positionsOf(lease))
      expect(recordedBefore.has(position)).toBe(this.done.has(position));
    for (const other of this.held) for (const position of other.open) expect(open).not.toContain(position);
    this.held.push({ lease, open });
  }

  /** Records some of the open positions, every third as failed; never all, which would be a finish. */
  async flush(mine: { lease: Lease; open: number[] }, share: number): Promise<void> {
    const now = mine.open.slice(
      0,
      Math.min(mine.open.length - 1, Math.ceil((mine.open.length * share) / 100)),
    );
    const [good, bad] = split(now);
    await this.write(
      () => engine.chunks.flush(mine.lease, recorded(good, bad), LEASE_MS),
      now,
      () => (mine.open = mine.open.slice(now.length)),
    );
  }

  /** Records some, and leaves the rest in part to a retry and in part to another chunk. */
  async finish(mine: { lease: Lease; open: number[] }, index: number, share: number): Promise<void> {
    const now = mine.open.slice(0, Math.ceil((mine.open.length * share) / 99));
    const rest = mine.open.slice(now.length);
    const retried = rest.filter((_, at) => at % 2 === 0);
    const handedBack = rest.filter((_, at) => at % 2 === 1);
    const successors = [
      ...(retried.length > 0 ? [successor(retried, { attempt: 1, delayMs: 60_000 })] : []),
      ...(handedBack.length > 0 ? [successor(handedBack)] : []),
    ];
    const [good, bad] = split(now);
    await this.write(
      () => engine.chunks.finish(mine.lease, recorded(good, bad), successors),
      now,
      () => this.held.splice(index, 1),
    );
  }

  async write(send: () => Promise<unknown>, positions: readonly number[], then: () => void): Promise<void> {
    if (this.status !== 'working') {
      await expect(send()).rejects.toThrow(LeaseLost);
      return;
    }
    await send();
    for (const position of positions) this.done.set(position, position % 3 !== 0);
    if (this.done.size === this.total) this.status = 'completed';
    then();
  }

  /** A worker that has lost its lease comes back and writes all it knows. */
  async writeLate(by: number): Promise<void> {
    const lease = this.lost[by % Math.max(1, this.lost.length)];
    if (!lease) return;
    await expect(engine.chunks.finish(lease, recorded(positionsOf(lease)), [])).rejects.toThrow(LeaseLost);
  }

  async kill(): Promise<void> {
    const { rowCount } = await engine.sql.query(
      "UPDATE job_statuses SET status = 'killed', finished_at = now() WHERE id = $1 AND status = 'working'",
      [this.job],
    );
    expect(rowCount).toBe(this.status === 'working' ? 1 : 0);
    if (this.status === 'working') this.status = 'killed';
  }

  async check(): Promise<void> {
    const failures = [...this.done.values()].filter((success) => !success).length;
    expect(await engine.counts(this.job)).toMatchObject({
      status: this.status,
      progress: this.done.size,
      results: this.done.size,
      failed: failures,
      failedResults: failures,
    });
    if (this.status === 'killed') return;
    const inChunks = (await engine.chunkRows(this.job))
      .flatMap((chunk) => chunk.positions)
      .filter((position) => !this.done.has(position))
      .sort((a, b) => a - b);
    const without = Array.from({ length: this.total }, (_, n) => n).filter((n) => !this.done.has(n));
    expect(inChunks).toEqual(without);
  }
}

const split = (positions: readonly number[]): [number[], number[]] => [
  positions.filter((position) => position % 3 !== 0),
  positions.filter((position) => position % 3 === 0),
];

describe('whatever two workers do in whatever order', () => {
  it('progress is the number of results, each position has one result or one chunk, and the end is final', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 30 }),
        fc.array(step, { minLength: 30, maxLength: 60 }),
        async (total, steps) => {
          await engine.sql.query('TRUNCATE task_chunks, job_results, turns');
          const walk = new Walk(await engine.submit(total), total);
          for (const at of steps) {
            await walk.take(at);
            await walk.check();
          }
        },
      ),
      { numRuns: Number(process.env['WALKS'] ?? 40) },
    );
  }, 120_000);
});
