import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { chunkSize, newJobId, parseJobId, planChunks, printJobId } from '../../src/jobs/job.js';

const MIB = 1024 * 1024;

describe('a plan of chunks', () => {
  const expectPlan = (tasks: readonly string[]) => {
    const chunks = planChunks(tasks);
    let position = 0;
    for (const chunk of chunks) {
      expect(chunk.firstPosition).toBe(position);
      expect(chunk.size).toBeGreaterThan(0);
      expect(chunk.size).toBeLessThanOrEqual(chunkSize(tasks.length));
      expect(Buffer.byteLength(chunk.tasks)).toBeLessThanOrEqual(MIB + 2);
      position += chunk.size;
    }
    const all = chunks.flatMap((chunk) => JSON.parse(chunk.tasks) as unknown[]);
    expect(all).toEqual(tasks.map((task) => JSON.parse(task) as unknown));
    return chunks;
  };

  test('has every task once, in order, in chunks that are neither empty nor too large', () => {
    const task = fc.oneof(
      { weight: 9, arbitrary: fc.json({ maxDepth: 1 }) },
      {
        weight: 1,
        arbitrary: fc.integer({ min: 0, max: 100_000 }).map((n) => JSON.stringify('ü'.repeat(n))),
      },
    );
    fc.assert(
      fc.property(fc.array(task, { maxLength: 150 }), (tasks) => {
        expectPlan(tasks);
      }),
    );
  });

  test('cuts by bytes where the tasks are large', () => {
    const chunks = expectPlan(Array.from({ length: 40 }, () => JSON.stringify('x'.repeat(200_000))));
    expect(chunks.map((chunk) => chunk.size)).toEqual(Array.from({ length: 8 }, () => 5));
  });

  test.each([
    [1, 10],
    [10, 10],
    [40, 10],
    [41, 11],
    [100, 25],
    [1_000, 250],
    [1_001, 251],
    [10_000, 791],
    [16_000, 1_000],
    [100_000, 1_000],
    [1_000_000, 1_000],
  ])('of %i tasks has chunks of up to %i', (total, size) => {
    expect(chunkSize(total)).toBe(size);
    expect(planChunks(Array.from({ length: total }, () => '0'))).toHaveLength(Math.ceil(total / size));
  });

  test('has as many chunks as the job has tasks to spread, and more for more tasks', () => {
    const chunks = (total: number) => Math.ceil(total / chunkSize(total));
    fc.assert(
      fc.property(fc.integer({ min: 31, max: 2_000_000 }), (total) => {
        expect(chunks(total)).toBeGreaterThanOrEqual(4);
        expect(chunks(total)).toBeLessThanOrEqual(Math.max(17, total / 1_000 + 1));
        expect(chunkSize(total + 1)).toBeGreaterThanOrEqual(chunkSize(total));
      }),
    );
  });

  test('of nothing is nothing', () => expect(planChunks([])).toEqual([]));
});

describe('a job id', () => {
  test('is printed as 32 lower-case hex digits, and read with and without dashes in either case', () => {
    fc.assert(
      fc.property(fc.uuid(), (id) => {
        const printed = printJobId(id);
        expect(printed).toMatch(/^[0-9a-f]{32}$/);
        for (const form of [id, printed, id.toUpperCase(), printed.toUpperCase()])
          expect(parseJobId(form)).toBe(id);
      }),
    );
  });

  test('sorts by the time it was made', () => {
    const ids = Array.from({ length: 1_000 }, newJobId);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(1_000);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  test.each([
    '',
    'x',
    '0'.repeat(31),
    '0'.repeat(33),
    `${'0'.repeat(31)}g`,
    `${'0'.repeat(32)}\n`,
    ` ${'0'.repeat(32)}`,
    '0-'.repeat(16),
    '00000000-000000000000-0000-000000000000',
    `{00000000-0000-0000-0000-000000000000}`,
    '０'.repeat(32),
  ])('is not %j', (text) => expect(parseJobId(text)).toBeNull());
});
