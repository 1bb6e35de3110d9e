import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestUser } from '../support/app.js';
import { expectInvalid, serve, SEVEN_KEYS, submitted, type Served } from '../http/http-support.js';

const JOBS_WITHOUT_RESULT = 25;

let served: Served;
let user: TestUser;
/** Oldest first. */
const ids: string[] = [];
beforeAll(async () => {
  served = await serve();
  ({ user } = served);
  for (let n = 0; n < JOBS_WITHOUT_RESULT; n += 1)
    ids.push(await submitted(served, { name: n % 5 === 0 ? 'every fifth' : '' }));
});
afterAll(() => served.stop());

interface ListPage {
  readonly rows: readonly Record<string, unknown>[];
  readonly meta: { has_more: boolean; after_cursor: string | null; before_cursor: string | null };
  readonly links: { next: string | null; prev: string | null };
}

async function read(url: string, as = user): Promise<ListPage> {
  const { status, headers, body } = await served.app.get(url, as);
  expect(status).toBe(200);
  expect(headers.has('retry-after')).toBe(false);
  expect(Object.keys(body).slice(1)).toEqual(['meta', 'links']);
  return { rows: Object.values(body)[0] as ListPage['rows'], meta: body.meta, links: body.links };
}

async function walk(start: string, link: 'next' | 'prev'): Promise<ListPage[]> {
  const pages: ListPage[] = [];
  for (let url: string | null = start; url !== null; url = pages.at(-1)!.links[link])
    pages.push(await read(url));
  return pages;
}

const idsOf = (...pages: ListPage[]) => pages.flatMap((page) => page.rows.map((row) => row['id']));

describe.each(['job_statuses', 'jobs'])('the list of %s', (name) => {
  const list = `/api/v2/${name}.json`;
  const bare = `/api/v2/${name}`;

  test('is newest first', async () => {
    expect(idsOf(await read(list))).toEqual(ids.toReversed());
    expect(idsOf(await read(bare))).toEqual(ids.toReversed());
  });

  test('pages forth and back through every job once', async () => {
    const forth = await walk(`${list}?page[size]=10`, 'next');
    expect(forth.map((page) => page.rows.length)).toEqual([10, 10, 5]);
    expect(idsOf(...forth)).toEqual(ids.toReversed());
    expect(forth.map((page) => page.meta.has_more)).toEqual([true, true, false]);
    expect(forth[0]!.links.prev).toBeNull();
    const back = await walk(forth.at(-1)!.links.prev!, 'prev');
    expect(idsOf(...back.toReversed())).toEqual(ids.toReversed().slice(0, 20));
  });

  test('gives links with the path and the parameters that were asked with', async () => {
    const next = new URL(
      (await read(`${list}?page%5Bsize%5D=3&filter[name]=every%20fifth&filter[status]=working`)).links.next!,
    );
    expect(next.origin + next.pathname).toBe(served.app.origin + list);
    expect(Object.fromEntries(next.searchParams)).toMatchObject({
      'page[size]': '3',
      'filter[name]': 'every fifth',
      'filter[status]': 'working',
    });
    expect(idsOf(await read(next.href))).toEqual([ids[5], ids[0]]);
  });

  test('gives cursors that mean the same as the links', async () => {
    const first = await read(`${list}?page[size]=10`);
    const second = await read(`${list}?page[size]=10&page[after]=${first.meta.after_cursor}`);
    expect(idsOf(second)).toEqual(idsOf(await read(first.links.next!)));
    expect(idsOf(await read(`${list}?page[size]=10&page[before]=${second.meta.before_cursor}`))).toEqual(
      idsOf(first),
    );
  });

  test('shows what came meanwhile before the first page, and nothing twice', async () => {
    const account = `account-of-${name.replace('_', '-')}`;
    const someone = await served.app.addUser(`${name}@example.com`, account);
    const old = [];
    for (let n = 0; n < 4; n += 1) old.unshift(await submitted({ ...served, user: someone }));
    const first = await read(`${list}?page[size]=2`, someone);
    const late = await submitted({ ...served, user: someone });
    expect(idsOf(await read(first.links.next!, someone))).toEqual(old.slice(2));
    expect(idsOf(await read(`${list}?page[before]=${first.meta.before_cursor}`, someone))).toEqual([late]);
  });

  test.each([
    ['filter[name]=every%20fifth', 5],
    ['filter[name]=', 20],
    ['filter[name]=every', 0],
    ['filter[type]=demo.sleep', 25],
    ['filter[type]=demo.fail', 0],
    ['filter[type]=', 0],
    ['filter[status]=working', 25],
    ['filter[status]=completed', 0],
    ["filter[name]=';--", 0],
    ['filter[name]=%25', 0],
    ['filter[created_by]=agent@example.com', 25],
    ['filter[created_by]=AGENT@example.com&filter[name]=every%20fifth', 5],
    ['filter[created_by]=agent', 0],
    ['filter[created_by]=nobody@example.com', 0],
  ])('with %s has %i', async (filter, count) => {
    const { rows, meta } = await read(`${list}?${filter}`);
    expect(rows).toHaveLength(count);
    expect(meta.has_more).toBe(false);
  });

  test('of a person is of the own account, whoever asks', async () => {
    const colleague = await served.app.addUser(`colleague-of-${name}@example.com`);
    const [stranger, account] = [`stranger-to-${name}@example.org`, `strangers-to-${name.replace('_', '-')}`];
    const other = await served.app.addUser(stranger, account);
    const theirs = await submitted({ ...served, user: other });
    const url = (email: string) => `${list}?filter[created_by]=${email}`;
    expect((await read(url(user.email), colleague)).rows).toHaveLength(25);
    expect((await read(url(stranger))).rows).toEqual([]);
    expect(idsOf(await read(url(stranger), other))).toEqual([theirs]);
  });

  test('without rows has neither cursors nor links', async () => {
    const nothing = {
      rows: [],
      meta: { has_more: false, after_cursor: null, before_cursor: null },
      links: { next: null, prev: null },
    };
    expect(await read(`${list}?filter[status]=killed`)).toEqual(nothing);
    const { meta } = await read(`${list}?page[size]=1`);
    expect(await read(`${list}?page[before]=${meta.before_cursor}`)).toEqual(nothing);
  });

  test.each([
    ['page[size]=0', 'page[size]'],
    ['page[size]=101', 'page[size]'],
    ['page[size]=ten', 'page[size]'],
    ['page[size]=', 'page[size]'],
    ['page[size]=1&page[size]=2', 'page[size]'],
    ['page[after]=x', 'page[after]'],
    ['page[after]=', 'page[after]'],
    ['page[before]=%00', 'page[before]'],
    ['page[before]=AAAA', 'page[before]'],
    ['page[after]=%zz', 'page[after]'],
    ['filter[status]=done', 'filter[status]'],
    ['filter[status]=', 'filter[status]'],
    ['filter[name]=%00', 'filter[name]'],
    ['filter[type]=a%00', 'filter[type]'],
    ['filter[name]=a&filter[name]=b', 'filter[name]'],
    ['filter[created_by]=%00', 'filter[created_by]'],
    ['filter[colour]=red', 'filter[colour]'],
    ['page=2', 'page'],
    ['sort=name', 'sort'],
  ])('refuses %s and names it', async (query, field) => {
    expectInvalid(await served.app.get(`${list}?${query}`, user), field);
  });

  test('refuses to follow one job and precede another', async () => {
    const { meta } = await read(`${list}?page[size]=1`);
    const query = `page[after]=${meta.after_cursor}&page[before]=${meta.before_cursor}`;
    expectInvalid(await served.app.get(`${list}?${query}`, user), 'page[before]');
  });
});

test('entries of job_statuses are the seven keys with empty results', async () => {
  const { rows } = await read('/api/v2/job_statuses.json?page[size]=2');
  for (const row of rows) {
    expect(Object.keys(row)).toEqual(SEVEN_KEYS);
    expect(row['results']).toEqual([]);
  }
});
