import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chunkSize } from '../../src/jobs/job.js';
import { LOSSES_MAX } from '../../src/workers/suspicion.js';
import { TestEngine } from '../support/engine.js';
import { weather } from './storm.js';

/** Whose fault it was that a worker died. Any number of runs: `SEEDS='1 2 3' npm test -- test/workers/random-kills`. */

const seeds = (process.env['SEEDS'] ?? '2').split(' ').map(Number);

let engine: TestEngine;
beforeAll(async () => {
  engine = await TestEngine.start();
});
afterAll(() => engine.stop());
beforeEach(() => engine.sql.query('TRUNCATE task_chunks, job_statuses, job_results'));

describe('of two workers that are killed every quarter of a second', () => {
  it.each(seeds)(
    '200 kills at random blame no innocent task (seed %d)',
    async (seed) => {
      const storm = await weather(engine, { kills: 200, everyMs: 500, seed, tasks: 10_000 });
      expect(storm).toMatchObject({ kills: 200, blamed: [] });
    },
    120_000,
  );

  it.each(seeds)(
    'tasks that kill their process are blamed, and no others (seed %d)',
    async (seed) => {
      const poison = [7, 8, 550];
      const tasks = 1_000;
      const storm = await weather(engine, { kills: 40, everyMs: 500, seed, tasks, poison });
      expect([...storm.crashes.values()].length).toBeGreaterThanOrEqual(poison.length);
      expect(storm.blamed).toHaveLength(storm.crashes.size);
      expect(poison).toEqual(expect.arrayContaining([...new Set(storm.blamed)]));
      expect(Math.max(...storm.crashes.values())).toBeLessThanOrEqual(
        LOSSES_MAX + Math.log2(chunkSize(tasks)),
      );
    },
    120_000,
  );
});

describe('of workers that nobody kills', () => {
  it('a task that kills its process is blamed after 3 + log2 of its chunk crashes at most', async () => {
    const storm = await weather(engine, { kills: 0, everyMs: 0, seed: 1, tasks: 10_000, poison: [5_003] });
    expect(storm.blamed).toEqual([5_003]);
    const [crashes] = storm.crashes.values();
    expect(crashes).toBeLessThanOrEqual(3 + Math.log2(chunkSize(10_000)));
  }, 60_000);

  it('several such tasks are blamed, each after a bounded number of crashes', async () => {
    const tasks = 1_000;
    const poison = [3, 4, 321, 322, 777];
    const storm = await weather(engine, { kills: 0, everyMs: 0, seed: 1, tasks, poison });
    expect([...storm.blamed].sort((a, b) => a - b)).toEqual(poison);
    for (const crashes of storm.crashes.values())
      expect(crashes).toBeLessThanOrEqual(LOSSES_MAX + Math.log2(chunkSize(tasks)));
  }, 60_000);
});
