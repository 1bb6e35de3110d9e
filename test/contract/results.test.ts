import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectError, expectInvalid, SEVEN_KEYS } from '../http/http-support.js';
import { bigJob, parseCsv } from '../jobs/results-support.js';
import type { Answer } from '../support/app.js';
import { single } from '../support/handlers.js';
import { jobPath, numbered, Scene } from './contract-support.js';

let scene: Scene;
/** A completed job of six tasks, of which 1 and 4 have failed. */
let id: string;
beforeAll(async () => {
  const thrower = single(() => {
    throw new Error('The receiver hung up');
  });
  scene = await Scene.open({ handlers: [thrower] });
  id = await scene.completed(
    numbered(6).map((task) => (task.n % 3 === 1 ? { ...task, fails: 'AddressUnknown' } : task)),
  );
});
afterAll(() => scene.close());

interface Row {
  readonly index: number;
  readonly success: boolean;
  readonly error?: string;
}

const read = async (query = '', job = id) => (await scene.get(`${jobPath(job, 'results')}${query}`)).body;
const indexes = (rows: readonly Row[]) => rows.map((row) => row.index);
const exported = (form: string, query = '', job = id) =>
  scene.get(`/api/v2/jobs/${job}/results.${form}${query}`);
const rowsOf = (ndjson: string): Row[] =>
  ndjson
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row);

describe('the results of a job', () => {
  test('are results, meta and links, by position', async () => {
    const body = await read();
    expect(Object.keys(body)).toEqual(['results', 'meta', 'links']);
    expect(indexes(body.results)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('say of a task that succeeded its index, attempts, success and result', async () => {
    expect((await read()).results[2]).toEqual({ index: 2, attempts: 1, success: true, result: { n: 2 } });
  });

  test('say of a task that failed also the word of its error and what it was given', async () => {
    expect((await read()).results[1]).toEqual({
      index: 1,
      attempts: 1,
      success: false,
      result: { success: false, status: 'Failed', errors: 'Task 1 did not work' },
      error: 'AddressUnknown',
      task: { n: 1, fails: 'AddressUnknown' },
    });
  });

  test('call what a handler throws HandlerError', async () => {
    const job = { type: 'test.task', tasks: [{ n: 0 }], max_attempts: 1 };
    const { body } = await scene.post('/api/v2/jobs.json', job);
    await scene.ended(body.id);
    expect((await read('', body.id)).results[0]).toMatchObject({ error: 'HandlerError', success: false });
  });

  test('are read from a position on with page[size] and page[after]', async () => {
    const first = await read('?page[size]=4');
    expect([indexes(first.results), first.meta.has_more]).toEqual([[0, 1, 2, 3], true]);
    const rest = await read(`?page[size]=4&page[after]=${first.meta.after_cursor}`);
    expect([indexes(rest.results), rest.meta.has_more]).toEqual([[4, 5], false]);
  });

  test('come a thousand a page at most', async () => {
    const big = await bigJob(scene.served, 1_001);
    const page = await read('', big);
    expect([page.results.length, page.meta.has_more]).toEqual([1_000, true]);
    expectInvalid(await scene.get(`${jobPath(big, 'results')}?page[size]=1001`), 'page[size]');
  });

  test('are those of failed tasks alone with filter[success]=false', async () => {
    expect(indexes((await read('?filter[success]=false')).results)).toEqual([1, 4]);
    expect(indexes((await read('?filter[success]=true')).results)).toEqual([0, 2, 3, 5]);
    expectInvalid(await scene.get(`${jobPath(id, 'results')}?filter[success]=no`), 'filter[success]');
  });

  test('of a working job are those that there are', async () => {
    const working = await scene.submit([{ n: 0, waits: true }, { n: 1 }]);
    await scene.progress(working, 1);
    expect(indexes((await read('', working)).results)).toEqual([1]);
    await scene.act(working, 'kill');
  });
});

describe('the whole set', () => {
  test('as .ndjson is a line for each result, as the pages have it', async () => {
    const { status, headers, text } = await exported('ndjson');
    expect([status, headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
    expect(rowsOf(text)).toEqual((await read()).results);
  });

  test('as .csv is a header and a row for each result', async () => {
    const { status, headers, text } = await exported('csv');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^text\/csv; charset=utf-8/);
    const [header, ...rows] = parseCsv(text);
    expect(header).toEqual(['index', 'attempts', 'success', 'error', 'result', 'task']);
    expect(rows.map((row) => row.slice(0, 4))).toEqual([
      ['0', '1', 'true', ''],
      ['1', '1', 'false', 'AddressUnknown'],
      ['2', '1', 'true', ''],
      ['3', '1', 'true', ''],
      ['4', '1', 'false', 'AddressUnknown'],
      ['5', '1', 'true', ''],
    ]);
    expect(JSON.parse(rows[4]![5]!)).toEqual({ n: 4, fails: 'AddressUnknown' });
  });

  test('can be of the failed tasks alone, too', async () => {
    expect(indexes(rowsOf((await exported('ndjson', '?filter[success]=false')).text))).toEqual([1, 4]);
    expect(parseCsv((await exported('csv', '?filter[success]=false')).text)).toHaveLength(3);
  });

  test('has no page size: it goes beyond a page in one answer', async () => {
    const big = await bigJob(scene.served, 2_500);
    expect(rowsOf((await exported('ndjson', '', big)).text)).toHaveLength(2_500);
    expect(parseCsv((await exported('csv', '', big)).text)).toHaveLength(2_501);
  });

  test('has no other forms', async () => {
    expectError(await exported('xml'), 404, 'RecordNotFound');
  });
});

interface Event {
  readonly id: string;
  readonly data: Answer['body'];
}

/** The events in the text of a stream that has ended. */
function eventsOf(text: string): Event[] {
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('event: '))
    .map((block) => {
      const [, eventId, data] = /^event: status\nid: (.+)\ndata: (.+)$/.exec(block)!;
      return { id: eventId!, data: JSON.parse(data!) };
    });
}

const events = (job: string, headers: Record<string, string> = {}) =>
  scene.get(`/api/v2/jobs/${job}/events`, headers);

describe('the events of a job', () => {
  test('are a stream of status events that closes after the one in which the job has ended', async () => {
    const job = await scene.submit([{ n: 0 }, { n: 1, waits: true }]);
    const stream = events(job);
    await scene.progress(job, 1);
    scene.stage.letGo(job);
    const { status, headers, text } = await stream;
    expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    expect(headers.has('retry-after')).toBe(false);
    const seen = eventsOf(text);
    expect(seen.length).toBeGreaterThan(1);
    for (const { data } of seen) expect([Object.keys(data), data.id]).toEqual([SEVEN_KEYS, job]);
    const statuses = seen.map(({ data }) => data.status);
    expect(statuses.slice(0, -1)).toEqual(statuses.slice(0, -1).map(() => 'working'));
    expect(seen.at(-1)!.data).toMatchObject({ status: 'completed', progress: 2 });
  });

  test('come four a second at most', async () => {
    const job = await scene.submit(numbered(1, { waits: true }));
    const began = performance.now();
    const stream = events(job);
    for (let n = 0; n < 20; n += 1) await scene.act(job, n % 2 ? 'resume' : 'pause');
    await scene.act(job, 'kill');
    const seen = eventsOf((await stream).text);
    const seconds = (performance.now() - began) / 1_000;
    expect(seen.length).toBeLessThanOrEqual(2 + 4 * seconds);
    expect(seen.at(-1)!.data.status).toBe('killed');
  });

  test('of an ended job are its last one', async () => {
    const seen = eventsOf((await events(id)).text);
    expect(seen.map(({ data }) => data.status)).toEqual(['completed']);
  });

  test('go on after the Last-Event-ID: who has seen the last one is told that nothing comes', async () => {
    const [last] = eventsOf((await events(id)).text);
    const { status, text } = await events(id, { 'last-event-id': last!.id });
    expect([status, text]).toEqual([204, '']);
    const missed = await events(id, { 'last-event-id': 'an older one' });
    expect(eventsOf(missed.text)).toEqual([last]);
  });
});
