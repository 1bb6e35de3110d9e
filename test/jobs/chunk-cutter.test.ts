import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ChunkCutter, joinChunks, type CutChunk } from '../../src/jobs/chunk-cutter.js';
import { chunkSize, MAX_CHUNK_BYTES, MAX_CHUNK_TASKS } from '../../src/jobs/job.js';

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

test('no chunk is larger than a tenth of the job, unless it has ten tasks or fewer', () => {
  for (const total of [1, 25, 500, 10_000, 200_000]) {
    const sizes = cut(numbers(total)).map((chunk) => chunk.size);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(Math.max(10, Math.ceil(total / 10)));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_CHUNK_TASKS);
  }
});

test('a small job is spread, and a large one has few chunks', () => {
  expect(cut(numbers(100))).toHaveLength(10);
  expect(cut(numbers(10_000)).length).toBeLessThan(70);
  expect(cut(numbers(1_000_000)).length).toBeLessThan(1_100);
});

test('a chunk has at most a mebibyte', () => {
  const task = JSON.stringify('x'.repeat(60_000));
  for (const chunk of cut(Array.from({ length: 3_000 }, () => task)))
    expect(chunk.tasks.length).toBeLessThanOrEqual(MAX_CHUNK_BYTES + 2);
});

test('a chunk has little more room than it needs', () => {
  for (const [total, length] of [
    [1_000, 100],
    [300, 1_000],
    [40, 20_000],
  ] as const) {
    const chunks = cut(Array.from({ length: total }, () => JSON.stringify('x'.repeat(length))));
    const room = chunks.reduce((bytes, { tasks }) => bytes + tasks.buffer.byteLength, 0);
    expect(room).toBeLessThan(1.6 * total * (length + 3));
  }
});

test('the bytes of a chunk that is given back are used again, and those of the others are left alone', () => {
  const cutter = new ChunkCutter();
  const add = (task: string) => cutter.add(task, Buffer.byteLength(task));
  const cutTen = (task: string) => {
    for (let n = 0; n < 10; n += 1) expect(add(task)).toBeNull();
    return cutter.rest()!;
  };
  const [first, second] = [cutTen('"ä"'), cutTen(JSON.stringify('b'.repeat(50_000)))];
  cutter.giveBack(first);
  const third = cutTen('3');
  const fourth = cutTen('4');
  expect([third, fourth].filter(({ tasks }) => tasks.buffer === first.tasks.buffer)).toHaveLength(1);
  expect(
    [second, third, fourth].map(({ tasks }) => new Set(JSON.parse(tasks.toString()) as unknown[])),
  ).toEqual([new Set(['b'.repeat(50_000)]), new Set([3]), new Set([4])]);
});

const large = (kib: number) => JSON.stringify('ü'.repeat(kib * 512));

test('chunks that are joined have the same tasks in their order, and are not larger than they may be', () => {
  const task = fc.oneof({ weight: 30, arbitrary: fc.json({ maxDepth: 1 }) }, fc.nat(1_000).map(large));
  fc.assert(
    fc.property(fc.array(task, { maxLength: 400 }), (tasks) => {
      let next = 0;
      const most = Math.max(chunkSize(tasks.length), tasks.length / 10);
      for (const chunk of joinChunks(cut(tasks), tasks.length)) {
        const [from, to] = [next, next + chunk.size];
        expect(chunk.firstPosition).toBe(from);
        expect(JSON.parse(chunk.tasks.toString())).toEqual(
          tasks.slice(from, to).map((text) => JSON.parse(text)),
        );
        expect(chunk.size).toBeLessThanOrEqual(most);
        expect(chunk.tasks.length).toBeLessThanOrEqual(MAX_CHUNK_BYTES + 2);
        next = to;
      }
      expect(next).toBe(tasks.length);
    }),
    { numRuns: 50 },
  );
});

test('chunks that are joined are few', () => {
  for (const [total, few] of [
    [100, 10],
    [1_000, 12],
    [2_500, 20],
  ] as const)
    expect(joinChunks(cut(numbers(total)), total).length).toBeLessThanOrEqual(few);
});
