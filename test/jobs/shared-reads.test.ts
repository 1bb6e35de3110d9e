import { expect, test } from '@jest/globals';
import { SharedReads } from '../../src/jobs/shared-reads.js';

/** A query whose end the test decides; it notes when it began. */
function database() {
  const begun: { end: (value: string) => void; fail: (error: Error) => void }[] = [];
  const query = () => new Promise<string>((resolve, reject) => begun.push({ end: resolve, fail: reject }));
  return { begun, query };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('those who ask while a query runs share the next one, which begins when it has ended', async () => {
  const { begun, query } = database();
  const reads = new SharedReads<string>();
  const first = reads.read('a', query);
  const others = [reads.read('a', query), reads.read('a', query), reads.read('a', query)];
  await turn();
  expect(begun).toHaveLength(1);
  begun[0]!.end('before');
  expect(await first).toBe('before');
  await turn();
  expect(begun).toHaveLength(2);
  const late = reads.read('a', query);
  begun[1]!.end('after');
  expect(await Promise.all(others)).toEqual(['after', 'after', 'after']);
  await turn();
  expect(begun).toHaveLength(3);
  begun[2]!.end('last');
  expect(await late).toBe('last');
});

test('nobody waits for the query of something else', async () => {
  const { begun, query } = database();
  const reads = new SharedReads<string>();
  void reads.read('a', query);
  const other = reads.read('b', query);
  begun[1]!.end('b');
  expect(await other).toBe('b');
});

test('a query that fails is the failure of those who shared it, and of no one else', async () => {
  const { begun, query } = database();
  const reads = new SharedReads<string>();
  const first = reads.read('a', query);
  const second = reads.read('a', query);
  begun[0]!.fail(new Error('away'));
  await expect(first).rejects.toThrow('away');
  await turn();
  begun[1]!.fail(new Error('still away'));
  await expect(second).rejects.toThrow('still away');
  await turn();
  const third = reads.read('a', query);
  begun[2]!.end('back');
  expect(await third).toBe('back');
});
