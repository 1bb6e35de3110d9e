import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { ResultStore, type ResultQuery } from '../../src/jobs/result.store.js';
import { waitFor } from '../support/wait-for.js';
import { authorizationOf, expectError, expectInvalid, serve, type Served } from '../http/http-support.js';
import { bigJob, jobWith, parseCsv } from './results-support.js';

let served: Served;
beforeAll(async () => {
  served = await serve({ env: { DRAIN_SECONDS: '0' } });
});
afterAll(() => served.stop());

const get = (path: string) => served.app.get(path, served.user);
const exportOf = (id: string, form: string, query = '') => `/api/v2/jobs/${id}/results.${form}${query}`;

/** Counts the parts that exports read from the database from now on. */
function countParts(): { parts: number } {
  const store = served.app.app.get(ResultStore);
  const seen = { parts: 0 };
  for (const name of ['lines', 'rows'] as const) {
    const read = ResultStore.prototype[name].bind(store);
    Object.assign(store, {
      [name]: (query: ResultQuery, after: number) => {
        seen.parts += 1;
        return read(query, after);
      },
    });
  }
  return seen;
}

/** An answer whose body nobody reads yet. */
async function open(path: string): Promise<IncomingMessage> {
  const request = httpGet(served.app.origin + path, {
    headers: { authorization: authorizationOf(served.user) },
  });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  answer.on('error', () => undefined);
  return answer;
}

/** However it ends. */
const closed = (answer: IncomingMessage) =>
  new Promise<void>((resolve) => answer.on('close', () => resolve()));

/** Waits until what is counted has stood still for half a second. */
async function settled(count: () => number): Promise<number> {
  let last = -1;
  let still = 0;
  await waitFor(
    () => {
      still = count() === last ? still + 1 : 0;
      last = count();
      return still >= 10;
    },
    { everyMs: 50, timeoutMs: 15_000 },
  );
  return last;
}

describe('an export as NDJSON', () => {
  test('has a line for every result, by position', async () => {
    const id = await bigJob(served, 10_001);
    const { status, headers, text } = await get(exportOf(id, 'ndjson'));
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/x-ndjson');
    expect(headers.get('content-disposition')).toBe(`attachment; filename="job-${id}-results.ndjson"`);
    expect(text.endsWith('}\n')).toBe(true);
    const lines = text
      .slice(0, -1)
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.index)).toEqual(Array.from({ length: 10_001 }, (_, n) => n));
    expect(lines[7]).toEqual((await get(`/api/v2/jobs/${id}/results.json?page[size]=8`)).body.results[7]);
  });

  test('has those alone that failed, or succeeded, when it is asked to', async () => {
    const id = await bigJob(served, 5_000, { failEvery: 7 });
    for (const [success, count] of [
      ['false', 714],
      ['true', 4_286],
    ] as const) {
      const { text } = await get(exportOf(id, 'ndjson', `?filter[success]=${success}`));
      const lines = text.slice(0, -1).split('\n');
      expect(lines).toHaveLength(count);
      expect(lines.every((line) => line.includes(`"success":${success}`))).toBe(true);
    }
  });

  test('of a job without results is empty', async () => {
    const id = await jobWith(served, [], { total: 3 });
    expect([(await get(exportOf(id, 'ndjson'))).status, (await get(exportOf(id, 'ndjson'))).text]).toEqual([
      200,
      '',
    ]);
  });

  test('has results of any size, a few at a time', async () => {
    const id = await bigJob(served, 300, { padding: 60_000 });
    const seen = countParts();
    const { text } = await get(exportOf(id, 'ndjson'));
    expect(text.split('\n')).toHaveLength(301);
    expect(seen.parts).toBeGreaterThan(15);
  });
});

describe('an export as CSV', () => {
  test('has a header and a row for every result', async () => {
    const id = await bigJob(served, 4_321, { failEvery: 1_000 });
    const { headers, text } = await get(exportOf(id, 'csv'));
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(headers.get('content-disposition')).toBe(`attachment; filename="job-${id}-results.csv"`);
    const [header, ...rows] = parseCsv(text);
    expect(header).toEqual(['index', 'attempts', 'success', 'error', 'result', 'task']);
    expect(rows.map((row) => Number(row[0]))).toEqual(Array.from({ length: 4_321 }, (_, n) => n));
    expect(rows[0]!.map((cell) => cell.replaceAll(' ', ''))).toEqual([
      '0',
      '1',
      'true',
      '',
      '{"n":0,"pad":""}',
      '',
    ]);
    expect(rows[999]!.slice(2, 4)).toEqual(['false', 'Broken']);
    expect(JSON.parse(rows[999]![5]!)).toEqual({ n: 999 });
  });

  test('disarms formulas', async () => {
    const id = await jobWith(served, [
      { index: 0, result: '-1' },
      { index: 1, result: '"=1+1"', error: '=HYPERLINK("http://evil.example")', task: '"@x"' },
    ]);
    expect(parseCsv((await get(exportOf(id, 'csv'))).text).slice(1)).toEqual([
      ['0', '1', 'true', '', "'-1", ''],
      ['1', '1', 'false', `'=HYPERLINK("http://evil.example")`, '"=1+1"', '"@x"'],
    ]);
  });

  test('of a job without results, or without any that failed, is its header', async () => {
    const id = await bigJob(served, 3);
    const answer = await get(exportOf(id, 'csv', '?filter[success]=false'));
    expect(answer.text).toBe('index,attempts,success,error,result,task\r\n');
    expect(answer.headers.get('content-disposition')).toBe(`attachment; filename="job-${id}-failed.csv"`);
  });
});

describe.each(['ndjson', 'csv'])('an export as %s', (form) => {
  test('reads no further ahead than its client, and stops when that has gone', async () => {
    // About a hundred parts; the connection itself holds some megabytes.
    const id = await bigJob(served, 100_000, { padding: 1_000 });
    const seen = countParts();
    const answer = await open(exportOf(id, form));
    const ahead = await settled(() => seen.parts);
    expect(ahead).toBeGreaterThan(0);
    expect(ahead).toBeLessThan(25);
    answer.destroy();
    expect(await settled(() => seen.parts)).toBeLessThanOrEqual(ahead + 1);
  });

  test('breaks off when its job is deleted meanwhile, so that nobody takes it for whole', async () => {
    const id = await bigJob(served, 100_000, { padding: 1_000 });
    const answer = await open(exportOf(id, form));
    expect((await served.app.call('DELETE', `/api/v2/jobs/${id}.json`, served.user)).status).toBe(204);
    const ended = closed(answer);
    answer.resume();
    await ended;
    expect(answer.complete).toBe(false);
  });

  test('answers HEAD without reading on', async () => {
    const id = await bigJob(served, 10_000);
    const seen = countParts();
    const { status, text, headers } = await served.app.call('HEAD', exportOf(id, form), served.user);
    expect([status, text, headers.get('content-disposition')]).toEqual([
      200,
      '',
      `attachment; filename="job-${id}-results.${form}"`,
    ]);
    expect(await settled(() => seen.parts)).toBe(1);
  });

  test.each(['page[size]=1', 'filter[success]=1', 'x=y'])('refuses %s', async (query) => {
    const id = await jobWith(served, [], { total: 1 });
    expectInvalid(await get(exportOf(id, form, `?${query}`)), query.split('=', 1)[0]!);
  });
});

test('an open export does not hold up the end of the process, and is seen to be cut', async () => {
  const own = await serve({ env: { DRAIN_SECONDS: '0' } });
  const id = await bigJob(own, 100_000, { padding: 1_000 });
  const request = httpGet(own.app.origin + exportOf(id, 'csv'), {
    headers: { authorization: authorizationOf(own.user) },
  });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  answer.on('error', () => undefined);
  const ended = closed(answer);
  const began = performance.now();
  await own.stop();
  expect(performance.now() - began).toBeLessThan(3_000);
  answer.resume();
  await ended;
  expect(answer.complete).toBe(false);
});

test('any other form of the results is 404', async () => {
  const id = await bigJob(served, 1);
  expectError(await get(exportOf(id, 'xml')), 404, 'RecordNotFound');
});
