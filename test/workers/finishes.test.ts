import { describe, expect, it } from '@jest/globals';
import { Finishes, type ChunkEnd } from '../../src/workers/finishes.js';
import { mergeResults } from '../../src/workers/result-buffer.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const end = (chunkId: number, attempts = 1, jobId = 'a', results = '["x"]'): ChunkEnd => ({
  ref: { jobId, chunkId: BigInt(chunkId), leaseId: 'lease' },
  recorded: { count: 1, positions: [chunkId], results, failures: '[]', attempts, message: null },
});

/** Statements whose end the test decides; it notes what each ends. */
function database() {
  const sent: { ids: number[]; done: () => void; fail: (error: unknown) => void }[] = [];
  const send = (ends: readonly ChunkEnd[]) =>
    new Promise<void>((done, fail) =>
      sent.push({ ids: ends.map(({ ref }) => Number(ref.chunkId)), done, fail }),
    );
  return { sent, finishes: new Finishes({ all: send, alone: (one) => send([one]) }) };
}

const sqlError = (code: string) => Object.assign(new Error('refused'), { code });

describe('chunks of one job that end', () => {
  it('are two statements at once, and those that come meanwhile are the next one', async () => {
    const { sent, finishes } = database();
    const all = [1, 2, 3, 4, 5].map((id) => finishes.add(end(id)));
    await turn();
    expect(sent.map(({ ids }) => ids)).toEqual([[1], [2]]);
    sent[0]!.done();
    await all[0];
    await turn();
    expect(sent.map(({ ids }) => ids)).toEqual([[1], [2], [3, 4, 5]]);
    sent[1]!.done();
    sent[2]!.done();
    await Promise.all(all);
  });

  it('share none with those of another job', async () => {
    const { sent, finishes } = database();
    for (const job of ['a', 'b', 'a', 'b', 'a', 'b']) void finishes.add(end(1, 1, job));
    await turn();
    expect(sent).toHaveLength(4);
  });

  it('share none with those whose tasks have had more attempts, nor more than a mebibyte', async () => {
    const { sent, finishes } = database();
    const large = `["${'x'.repeat(600_000)}"]`;
    for (const one of [end(1), end(2), end(3), end(4, 2), end(5, 2, 'a', large), end(6, 2, 'a', large)])
      void finishes.add(one);
    for (let n = 0; n < 4; n += 1) {
      sent[n]!.done();
      await turn();
    }
    expect(sent.map(({ ids }) => ids)).toEqual([[1], [2], [3], [4, 5], [6]]);
  });

  it('are sent one by one when their statement is refused, and each hears for itself', async () => {
    const { sent, finishes } = database();
    const [first, second, ...others] = [1, 2, 3, 4].map((id) => finishes.add(end(id)));
    const heard = Promise.allSettled(others);
    sent[0]!.done();
    sent[1]!.done();
    await Promise.all([first, second]);
    await turn();
    sent[2]!.fail(sqlError('TY001'));
    await turn();
    expect(sent.slice(3).map(({ ids }) => ids)).toEqual([[3], [4]]);
    sent[3]!.fail(sqlError('TY001'));
    sent[4]!.done();
    expect((await heard).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  });

  it('all hear of it when the database is away', async () => {
    const { sent, finishes } = database();
    const all = [1, 2, 3, 4].map((id) => finishes.add(end(id)));
    const heard = Promise.allSettled(all);
    for (const at of [0, 1]) sent[at]!.fail(new Error('Connection terminated'));
    await turn();
    sent[2]!.fail(new Error('Connection terminated'));
    expect((await heard).map(({ status }) => status)).toEqual(Array(4).fill('rejected'));
    expect(sent).toHaveLength(3);
  });
});

it('merged results are those of all chunks, in order, and what was said last', () => {
  const one = {
    count: 2,
    positions: [1, 2],
    results: '[1,2]',
    failures: '[]',
    attempts: 1,
    message: 'first',
  };
  const two = {
    count: 1,
    positions: [],
    results: '[]',
    failures: '[{"position":3}]',
    attempts: 1,
    message: null,
  };
  expect(mergeResults([one, two, { ...one, positions: [8, 9], message: 'last' }])).toEqual({
    count: 5,
    positions: [1, 2, 8, 9],
    results: '[1,2,1,2]',
    failures: '[{"position":3}]',
    attempts: 1,
    message: 'last',
  });
});
