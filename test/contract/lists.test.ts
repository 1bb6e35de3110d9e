import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  expectError,
  expectInvalid,
  JOBS,
  serve,
  SEVEN_KEYS,
  sleepJob,
  STATUSES,
  type Served,
} from '../http/http-support.js';
import { bigJob } from '../jobs/results-support.js';
import { jobPath, NO_JOB, statusPath } from './contract-support.js';

const SHOW_MANY = '/api/v2/job_statuses/show_many.json';
const TICKETS = '/api/v2/tickets.json';

let served: Served;
/** Seven jobs, the newest first; the last of them is completed and has results. */
const ids: string[] = [];
beforeAll(async () => {
  served = await serve();
  const { app, user } = served;
  ids.push(await bigJob(served, 5));
  for (let n = 0; n < 5; n += 1) ids.unshift(await submit({ name: n % 2 ? 'odd' : 'even' }));
  ids.unshift((await app.post(JOBS, user, { type: 'test.anything', tasks: [1] })).body.id);
  await app.prisma.ticket.createMany({
    data: Array.from({ length: 7 }, (_, n) => ({ accountId: user.accountId, title: `ticket ${n}` })),
  });
});
afterAll(() => served.stop());

const get = (path: string) => served.app.get(path, served.user);
const submit = async (options: object): Promise<string> =>
  (await served.app.post(JOBS, served.user, sleepJob(1, options))).body.id as string;

interface Row {
  readonly id: string;
}
const idsOf = (rows: readonly Row[]) => rows.map((row) => row.id);

describe('the list of job statuses', () => {
  test('is the jobs of the account, the newest first', async () => {
    expect(idsOf((await get(STATUSES)).body.job_statuses)).toEqual(ids);
  });

  test('has job_statuses, meta of three members and links of two', async () => {
    const { body } = await get(STATUSES);
    expect(Object.keys(body)).toEqual(['job_statuses', 'meta', 'links']);
    expect(Object.keys(body.meta)).toEqual(['has_more', 'after_cursor', 'before_cursor']);
    expect(Object.keys(body.links)).toEqual(['next', 'prev']);
    expect([body.meta.has_more, body.links]).toEqual([false, { next: null, prev: null }]);
  });

  test('has entries of the seven keys, whose results are empty', async () => {
    for (const entry of (await get(STATUSES)).body.job_statuses) {
      expect(Object.keys(entry)).toEqual(SEVEN_KEYS);
      expect(entry.results).toEqual([]);
    }
    expect((await get(statusPath(ids.at(-1)!))).body.results).toHaveLength(5);
  });

  test('is filtered by status, type and name', async () => {
    const filtered = async (query: string) => idsOf((await get(`${STATUSES}?${query}`)).body.job_statuses);
    expect(await filtered('filter[status]=completed')).toEqual([ids.at(-1)]);
    expect(await filtered('filter[status]=killed')).toEqual([]);
    expect(await filtered('filter[type]=demo.sleep')).toEqual(ids.slice(1, -1));
    expect(await filtered('filter[name]=odd')).toEqual([ids[2], ids[4]]);
    expect(await filtered('filter[name]=odd&filter[status]=completed')).toEqual([]);
    expectInvalid(await get(`${STATUSES}?filter[status]=queued`), 'filter[status]');
  });
});

describe('every list pages the same way', () => {
  const lists: [string, () => string, (row: never) => unknown, number][] = [
    ['job_statuses', () => STATUSES, (row: Row) => row.id, 100],
    ['jobs', () => JOBS, (row: Row) => row.id, 100],
    ['tickets', () => TICKETS, (row: Row) => row.id, 100],
    ['results', () => jobPath(ids.at(-1)!, 'results'), (row: { index: number }) => row.index, 1_000],
  ];

  test.each(lists)('%s: forth to the end and back to the start', async (name, path, keyOf) => {
    const keysOf = (body: Record<string, never[]>) => body[name]!.map(keyOf);
    const all = keysOf((await get(path())).body);
    const forth: unknown[] = [];
    let page = (await get(`${path()}?page[size]=2`)).body;
    expect(page.links.prev).toBeNull();
    for (;;) {
      expect(page[name].length).toBeLessThanOrEqual(2);
      expect(page.meta.has_more).toBe(page.links.next !== null);
      forth.push(...keysOf(page));
      if (page.links.next === null) break;
      page = (await get(page.links.next)).body;
    }
    expect(forth).toEqual(all);
    const back: unknown[] = keysOf(page);
    while (page.links.prev !== null) {
      page = (await get(page.links.prev)).body;
      back.unshift(...keysOf(page));
    }
    expect(back).toEqual(all);
  });

  test.each(lists)('%s: by cursors, as by links', async (name, path) => {
    const first = (await get(`${path()}?page[size]=2`)).body;
    const next = await get(`${path()}?page[size]=2&page[after]=${first.meta.after_cursor}`);
    expect(next.body).toEqual((await get(first.links.next)).body);
    const back = await get(`${path()}?page[size]=2&page[before]=${next.body.meta.before_cursor}`);
    expect(back.body[name]).toEqual(first[name]);
  });

  test.each(lists)('%s: no page is larger than the list allows', async (_, path, __, max) => {
    expect((await get(`${path()}?page[size]=${max}`)).status).toBe(200);
    for (const size of ['0', String(max + 1), 'all'])
      expectInvalid(await get(`${path()}?page[size]=${size}`), 'page[size]');
    expectInvalid(await get(`${path()}?page[after]=not%20a%20cursor`), 'page[after]');
  });
});

describe('show_many', () => {
  const many = (...asked: string[]) => get(`${SHOW_MANY}?ids=${asked.join(',')}`);

  test('answers job_statuses alone, in the order asked', async () => {
    const asked = [ids[3]!, ids[0]!, ids[6]!];
    const { body } = await many(...asked);
    expect(Object.keys(body)).toEqual(['job_statuses']);
    expect(idsOf(body.job_statuses)).toEqual(asked);
  });

  test('gives each with its results, as the single one', async () => {
    const id = ids.at(-1)!;
    expect((await many(id)).body.job_statuses).toEqual([(await get(statusPath(id))).body]);
  });

  test('leaves out ids that are not known', async () => {
    expect(idsOf((await many(NO_JOB, ids[0]!, 'nonsense')).body.job_statuses)).toEqual([ids[0]]);
  });

  test('takes a hundred ids and no more', async () => {
    expect((await many(...Array<string>(100).fill(NO_JOB))).status).toBe(200);
    const refused = await many(...Array<string>(101).fill(NO_JOB));
    expectError(refused, 400, 'TooManyValues');
    expect(refused.body.max_count).toBe(100);
  });
});

describe('ENVELOPE', () => {
  test('none is the default: a status stands bare', async () => {
    expect(Object.keys((await get(statusPath(ids[0]!))).body)).toEqual(SEVEN_KEYS);
  });

  test('job_status wraps every single status, and no list', async () => {
    const wrapped = await serve({ env: { ENVELOPE: 'job_status' } });
    const { app, user } = wrapped;
    try {
      const submitted = await app.post(JOBS, user, sleepJob());
      const id: string = submitted.body.job_status.id;
      const singles = [
        submitted,
        await app.get(statusPath(id), user),
        await app.post('/api/v2/tickets/create_many.json', user, { tickets: [{ title: 'a' }] }),
        await app.post(jobPath(id, 'kill'), user, undefined),
      ];
      for (const { body } of singles) {
        expect(Object.keys(body)).toEqual(['job_status']);
        expect(Object.keys(body.job_status)).toEqual(SEVEN_KEYS);
      }
      for (const list of [STATUSES, `${SHOW_MANY}?ids=${id}`])
        for (const entry of (await app.get(list, user)).body.job_statuses)
          expect(Object.keys(entry)).toEqual(SEVEN_KEYS);
    } finally {
      await wrapped.stop();
    }
  });
});
