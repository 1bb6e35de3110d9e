import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { pageAnswer, pageQuery, pageRequest, toPage, type PageRequest } from '../../src/http/paging.js';

const query = z.object(pageQuery);
const ask = (parameters: Record<string, string>): PageRequest => pageRequest(query.parse(parameters));

/** A list of numbers, newest first, read as a store reads it. */
function read(numbers: readonly number[], page: PageRequest): number[] {
  const { size, after, before } = page;
  if (before !== undefined)
    return numbers
      .toReversed()
      .filter((n) => n > Number(before))
      .slice(0, size + 1);
  return numbers.filter((n) => after === undefined || n < Number(after)).slice(0, size + 1);
}

const answerOf = (numbers: readonly number[], url: URL) => {
  const page = toPage(
    read(numbers, ask(Object.fromEntries(url.searchParams))),
    ask(Object.fromEntries(url.searchParams)),
  );
  return { rows: page.rows, ...pageAnswer(page, url, String) };
};

/** Follows links from the URL on. @returns the pages */
function walk(numbers: readonly number[], start: string, link: 'next' | 'prev'): (readonly number[])[] {
  const pages: (readonly number[])[] = [];
  for (let url: string | null = start; url !== null;) {
    const answer = answerOf(numbers, new URL(url));
    pages.push(answer.rows);
    url = answer.links[link];
  }
  return pages;
}

const newestFirst = (length: number) => Array.from({ length }, (_, n) => length - n);

describe('paging', () => {
  test('shows every row once, in order, whatever the page size, forth and back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 12 }), (length, size) => {
        const numbers = newestFirst(length);
        const forth = walk(numbers, `http://x/list?page[size]=${size}`, 'next');
        expect(forth.flat()).toEqual(numbers);
        expect(forth.every((page) => page.length === size || page === forth.at(-1))).toBe(true);
        if (length === 0) return;
        const end = Buffer.from('0').toString('base64url');
        const back = walk(numbers, `http://x/list?page[size]=${size}&page[before]=${end}`, 'prev');
        expect(back.toReversed().flat()).toEqual(numbers);
      }),
    );
  });

  test('keeps the other parameters of the URL in its links, and replaces the cursor', () => {
    const url = new URL('http://x/list.json?filter[name]=a%26b&page[size]=2');
    const next = new URL(answerOf(newestFirst(5), url).links.next!);
    expect(next.pathname).toBe('/list.json');
    expect(Object.fromEntries(next.searchParams)).toMatchObject({ 'filter[name]': 'a&b', 'page[size]': '2' });
    const further = new URL(answerOf(newestFirst(5), next).links.next!);
    expect(further.searchParams.getAll('page[after]')).toHaveLength(1);
    const back = new URL(answerOf(newestFirst(5), further).links.prev!);
    expect(back.searchParams.has('page[after]')).toBe(false);
  });

  test('says has_more exactly when there is a next link', () => {
    for (const length of [0, 1, 2, 3])
      for (const cursor of [
        '',
        '&page[before]=OQ',
        '&page[before]=MA',
        '&page[after]=MQ',
        '&page[after]=OQ',
      ]) {
        const { meta, links } = answerOf(newestFirst(length), new URL(`http://x/?page[size]=2${cursor}`));
        expect([length, cursor, meta.has_more]).toEqual([length, cursor, links.next !== null]);
      }
  });

  test('takes 100 rows when nothing is said', () => {
    expect(ask({})).toEqual({ size: 100, after: undefined, before: undefined });
  });

  test('refuses a page that is both after and before', () => {
    expect(() => ask({ 'page[after]': 'MQ', 'page[before]': 'MQ' })).toThrow(
      expect.objectContaining({ word: 'RecordInvalid' }),
    );
  });

  test.each(['0', '101', '-1', '1.5', '1e1', '', ' 1', '99999999999999999999'])(
    'refuses page[size]=%s',
    (size) => {
      expect(query.safeParse({ 'page[size]': size }).error?.issues[0]?.message).toBe(
        'expected a whole number from 1 to 100',
      );
    },
  );

  test.each(['', '!', 'a b', 'a'.repeat(201), '%00'])('refuses the cursor %j', (cursor) => {
    for (const parameter of ['page[after]', 'page[before]'])
      expect(query.safeParse({ [parameter]: cursor }).error?.issues[0]?.path).toEqual([parameter]);
  });
});
