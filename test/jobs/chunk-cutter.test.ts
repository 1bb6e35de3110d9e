import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ChunkCutter, type CutChunk } from '../../src/jobs/chunk-cutter.js';
import { MAX_CHUNK_BYTES, MAX_CHUNK_TASKS } from '../../src/jobs/job.js';

function cut(tasks: readonly string[]): CutChunk[] {
  const cutter = new ChunkCutter();
  const full = tasks.map((task) => cutter.add(task, Buffer.byteLength(task)));
  return [...full, cutter.rest()].filter((chunk) => chunk !== null);
}

const numbers = (total: number) => Array.from({ length: total }, (_, n) => String(n));

test('every task is in one chunk, at its position', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5_000 }), (total) => {
      let next = 0;
      for (const chunk of cut(numbers(total))) {
        const tasks = JSON.parse(chunk.tasks.toString()) as number[];
        expect([chunk.firstPosition, chunk.size]).toEqual([next, tasks.length]);
        expect(tasks).toEqual(Array.from({ length: chunk.size }, (_, at) => next + at));
        next += chunk.size;
      }
      expect(next).toBe(total);
    }),
    { numRuns: 20 },
  );
});

test('no chunk is larger than a fiftieth of the job, unless it has ten tasks or fewer', () => {
  for (const total of [1, 25, 500, 10_000, 200_000]) {
    const sizes = cut(numbers(total)).map((chunk) => chunk.size);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(Math.max(10, Math.ceil(total / 50)));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_CHUNK_TASKS);
  }
});

test('a small job is spread, and a large one has few chunks', () => {
  expect(cut(numbers(100))).toHaveLength(10);
  expect(cut(numbers(10_000)).length).toBeLessThan(250);
  expect(cut(numbers(1_000_000)).length).toBeLessThan(1_400);
});

test('a chunk has at most a mebibyte', () => {
  const task = JSON.stringify('x'.repeat(60_000));
  for (const chunk of cut(Array.from({ length: 3_000 }, () => task)))
    expect(chunk.tasks.length).toBeLessThanOrEqual(MAX_CHUNK_BYTES + 2);
});
