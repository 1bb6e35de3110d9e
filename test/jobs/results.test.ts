import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestUser } from '../support/app.js';
import { expectError, expectInvalid, serve, submitted, type Served } from '../http/http-support.js';
import { bigJob, jobWith } from './results-support.js';

const TOTAL = 2_500;
const FAILED_EVERY = 100;

let served: Served;
let user: TestUser;
let id: string;
beforeAll(async () => {
  served = await serve();
  ({ user } = served);
  id = await bigJob(served, TOTAL, { failEvery: FAILED_EVERY });
});
afterAll(() => served.stop());

const get = (path: string, as = user) => served.app.get(path, as);
const resultsOf = (job: string, query = '') => `/api/v2/jobs/${job}/results.json${query}`;

interface Item {
  readonly index: number;
  readonly success: boolean;
}

/** Every page from this one on, by its links. */
async function walk(start: string, link: 'next' | 'prev'): Promise<Item[][]> {
  const pages: Item[][] = [];
  for (let url: string | null = start; url !== null;) {
    const { status, body } = await get(url);
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual(['results', 'meta', 'links']);
    pages.push(body.results);
    url = body.links[link];
    if (link === 'next') expect(body.meta.has_more).toBe(url !== null);
  }
  return pages;
}

const positions = (...pages: Item[][]) => pages.flat().map((item) => item.index);
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

describe('the results of a job', () => {
  test('come a thousand a page, by position, through all of them and back', async () => {
    const forth = await walk(resultsOf(id), 'next');
    expect(forth.map((page) => page.length)).toEqual([1_000, 1_000, 500]);
    expect(positions(...forth)).toEqual(upTo(TOTAL));
    const last = await get(resultsOf(id, `?page[after]=${Buffer.from('1999').toString('base64url')}`));
    const back = await walk(last.body.links.prev, 'prev');
    expect(positions(...back.toReversed())).toEqual(upTo(2_000));
  });

  test('come in pages of the size that is asked for', async () => {
    const pages = await walk(resultsOf(id, '?page[size]=999'), 'next');
    expect(pages.map((page) => page.length)).toEqual([999, 999, 502]);
    expect(positions(...pages)).toEqual(upTo(TOTAL));
  });

  test('are told apart by whether they succeeded', async () => {
    const failed = await walk(resultsOf(id, '?filter[success]=false&page[size]=10'), 'next');
    expect(positions(...failed)).toEqual(upTo(TOTAL / FAILED_EVERY).map((n) => (n + 1) * FAILED_EVERY - 1));
    expect(failed.flat().every((item) => !item.success)).toBe(true);
    const succeeded = await walk(resultsOf(id, '?filter[success]=true'), 'next');
    expect(succeeded.flat()).toHaveLength(TOTAL - TOTAL / FAILED_EVERY);
    expect(succeeded.flat().every((item) => item.success)).toBe(true);
  });

  test('say what became of each task, and what a failed one was given', async () => {
    const job = await jobWith(served, [
      { index: 0, result: '{"z":1,"a":[2.50,"é\\u2028"]}' },
      { index: 1, result: '{"errors":"no"}', attempts: 3, error: 'Bro"ken', task: '{"b":1,"a":null}' },
      { index: 2, result: '"text"', attempts: 2 },
    ]);
    const { text, headers } = await get(resultsOf(job));
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(text.slice(0, text.indexOf(',"meta"'))).toBe(
      '{"results":[{"index":0,"attempts":1,"success":true,"result":{"z":1,"a":[2.5,"é\u2028"]}},' +
        '{"index":1,"attempts":3,"success":false,"result":{"errors":"no"},"error":"Bro\\"ken","task":{"b":1,"a":null}},' +
        '{"index":2,"attempts":2,"success":true,"result":"text"}]',
    );
  });

  test('of a job without any are an empty list', async () => {
    const { status, body } = await get(resultsOf(await submitted(served)));
    expect([status, body]).toEqual([
      200,
      {
        results: [],
        meta: { has_more: false, after_cursor: null, before_cursor: null },
        links: { next: null, prev: null },
      },
    ]);
  });

  test('of a working job are those there are', async () => {
    const job = await jobWith(
      served,
      [
        { index: 1, result: '1' },
        { index: 7, result: '7' },
      ],
      { total: 10 },
    );
    expect(positions((await get(resultsOf(job))).body.results)).toEqual([1, 7]);
  });

  test('of another account, or of no job, are 404', async () => {
    const stranger = await served.app.addUser('stranger@example.com', 'other', 'admin');
    for (const form of ['.json', '', '.ndjson', '.csv']) {
      expectError(await get(`/api/v2/jobs/${id}/results${form}`, stranger), 404, 'RecordNotFound');
      expectError(await get(`/api/v2/jobs/${'0'.repeat(32)}/results${form}`), 404, 'RecordNotFound');
      expectError(await get(`/api/v2/jobs/nonsense/results${form}`), 404, 'RecordNotFound');
    }
  });

  test.each([
    ['page[size]=1001', 'page[size]'],
    ['page[size]=0', 'page[size]'],
    ['filter[success]=maybe', 'filter[success]'],
    ['filter[success]=', 'filter[success]'],
    [`page[after]=${Buffer.from('-1').toString('base64url')}`, 'page[after]'],
    [`page[after]=${Buffer.from('9999999999').toString('base64url')}`, 'page[after]'],
    [`page[before]=${Buffer.from('x').toString('base64url')}`, 'page[before]'],
    ['page[after]=MQ&page[before]=MQ', 'page[before]'],
    ['filter[status]=x', 'filter[status]'],
  ])('are refused with %s, which is named', async (query, field) => {
    expectInvalid(await get(resultsOf(id, `?${query}`)), field);
  });
});

describe('a polled status', () => {
  test('links to the results that do not fit in it', async () => {
    const { headers, body } = await get(`/api/v2/job_statuses/${id}.json`);
    expect(body.results).toHaveLength(1_000);
    const [, next] = /^<([^>]+)>; rel="next"$/.exec(headers.get('link')!)!;
    expect(next).toMatch(new RegExp(`^${served.app.origin}/api/v2/jobs/${id}/results\\.json\\?`));
    expect(positions(...(await walk(next!, 'next')))).toEqual(upTo(TOTAL).slice(1_000));
  });

  test('links on from the last result that it has, also while the job works', async () => {
    const odd = Array.from({ length: 1_100 }, (_, n) => ({ index: 2 * n + 1, result: 'null' }));
    const job = await jobWith(served, odd, { total: 3_000 });
    const { headers, body } = await get(`/api/v2/job_statuses/${job}.json`);
    expect(body.results).toHaveLength(1_000);
    const [, next] = /^<([^>]+)>/.exec(headers.get('link')!)!;
    expect(positions(...(await walk(next!, 'next')))).toEqual(odd.slice(1_000).map((row) => row.index));
  });

  test('that has them all links to none', async () => {
    const job = await bigJob(served, 1_000);
    const { headers, body } = await get(`/api/v2/job_statuses/${job}.json`);
    expect(body.results).toHaveLength(1_000);
    expect(headers.has('link')).toBe(false);
  });
});
