import { describe, expect, it } from '@jest/globals';
import { Finishes, type ChunkEnd } from '../../src/workers/finishes.js';
import { mergeResults } from '../../src/workers/result-buffer.js';
import { waitFor } from '../support/wait-for.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const end = (chunkId: number, attempts = 1, jobId = 'a', results = '["x"]'): ChunkEnd => ({
  ref: { jobId, chunkId: BigInt(chunkId), leaseId: 'lease' },
  recorded: { count: 1, positions: [chunkId], results, failures: '[]', attempts, message: null },
});

/**
 * Statements whose end the test decides; it notes what each ends.
 * @param toBegin how many chunks are about to begin
 */
function database(toBegin = () => 0) {
  const sent: { ids: number[]; jobs: string[]; done: () => void; fail: (error: unknown) => void }[] = [];
  const send = (ends: readonly ChunkEnd[]) =>
    new Promise<void>((done, fail) =>
      sent.push({
        ids: ends.map(({ ref }) => Number(ref.chunkId)),
        jobs: ends.map(({ ref }) => ref.jobId),
        done,
        fail,
      }),
    );
  return { sent, finishes: new Finishes({ all: send, alone: (one) => send([one]) }, toBegin) };
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

describe('chunks that end while others are about to begin', () => {
  it('go with them in one statement, as soon as none is to come', async () => {
    let toCome = 3;
    const { sent, finishes } = database(() => toCome);
    for (const id of [1, 2, 3, 4]) {
      void finishes.add(end(id));
      toCome = 4 - id;
      if (id < 4) expect(sent).toEqual([]);
      await turn();
    }
    await turn();
    expect(sent.map(({ ids }) => ids)).toEqual([[1, 2, 3, 4]]);
  });

  it('do not wait for them for long', async () => {
    const { sent, finishes } = database(() => 1);
    void finishes.add(end(1));
    expect(sent).toEqual([]);
    await waitFor(() => sent.length === 1, { what: 'the statement' });
  });

  it('do not wait for them when they are much already', async () => {
    const { sent, finishes } = database(() => 1);
    const much = `["${'x'.repeat(70_000)}"]`;
    void finishes.add(end(1, 1, 'a', much));
    await turn();
    expect(sent).toEqual([]);
    void finishes.add(end(2, 1, 'a', much));
    expect(sent.map(({ ids }) => ids)).toEqual([[1, 2]]);
  });

  it('are not begun twice when another statement has taken them meanwhile', async () => {
    let toCome = 0;
    const { sent, finishes } = database(() => toCome);
    void finishes.add(end(1));
    toCome = 1;
    const second = finishes.add(end(2));
    // That of the first ends, and takes what waits.
    sent[0]!.done();
    await turn();
    expect(sent.map(({ ids }) => ids)).toEqual([[1], [2]]);
    sent[1]!.done();
    await second;
    toCome = 0;
    await turn();
    // One job has one queue all the time: two of its ends are under way, and a third waits for them.
    for (const id of [3, 4, 5]) void finishes.add(end(id));
    await turn();
    expect(sent.map(({ ids }) => ids)).toEqual([[1], [2], [3], [4]]);
  });
});

describe('chunks of several jobs that end', () => {
  const endOf = (jobId: string, chunkId = 1) => end(chunkId, 1, jobId);
  /** Adds one of each job; nobody waits for what the test leaves unanswered. */
  const addAll = (finishes: Finishes, jobs: readonly string[]) => {
    for (const job of jobs) finishes.add(endOf(job)).catch(() => undefined);
  };

  it('while another statement is under way are the next one, in their order', async () => {
    const { sent, finishes } = database();
    addAll(finishes, ['a', 'b', 'c', 'd']);
    expect(sent.map(({ jobs }) => jobs)).toEqual([['a']]);
    sent[0]!.done();
    await turn();
    expect(sent.map(({ jobs }) => jobs)).toEqual([['a'], ['b', 'c', 'd']]);
  });

  it('are a second statement at once as soon as there are eight of them, and never a third', async () => {
    const { sent, finishes } = database();
    const jobs = Array.from({ length: 8 }, (_, n) => `job ${n}`);
    addAll(finishes, ['a', ...jobs]);
    addAll(finishes, ['y', 'z']);
    await turn();
    expect(sent.map((one) => one.jobs)).toEqual([['a'], jobs]);
    sent[1]!.done();
    await waitFor(() => sent.length === 3, { what: 'the third' });
    expect(sent[2]!.jobs).toEqual(['y', 'z']);
  });

  it('are a second statement at once as soon as they are much', () => {
    const { sent, finishes } = database();
    addAll(finishes, ['a', 'b']);
    void finishes.add(end(1, 1, 'c', `["${'x'.repeat(70_000)}"]`));
    expect(sent.map((one) => one.jobs)).toEqual([['a'], ['b', 'c']]);
  });

  it('do not wait for a statement that takes its time: it may be waiting for a row', async () => {
    const { sent, finishes } = database();
    addAll(finishes, ['a', 'b']);
    expect(sent).toHaveLength(1);
    await waitFor(() => sent.length === 2, { what: 'the second' });
    expect(sent[1]!.jobs).toEqual(['b']);
  });

  it('do not share one with a job that has a statement under way, nor come to be ahead of one', async () => {
    const { sent, finishes } = database();
    addAll(finishes, ['a', 'b', 'c']);
    void finishes.add(endOf('a', 2));
    expect(sent.map(({ jobs }) => jobs)).toEqual([['a'], ['a']]);
    sent[0]!.done();
    await turn();
    expect(sent.map(({ jobs }) => jobs)).toEqual([['a'], ['a'], ['b', 'c']]);
    void finishes.add(endOf('b', 2));
    await turn();
    expect(sent).toHaveLength(3);
    sent[2]!.done();
    await turn();
    expect(sent.slice(3).map(({ jobs, ids }) => [jobs, ids])).toEqual([[['b'], [2]]]);
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
