import { z } from 'zod';
import { invalid } from '../errors.js';

/** Cursor paging as every list of the API does it: newest first, `page[size]`, `page[after]`, `page[before]`. */

export const PAGE_SIZE_MAX = 100;
const EXPECTED_CURSOR = 'expected a cursor that an earlier page gave';

const cursor = z
  .string(EXPECTED_CURSOR)
  .regex(/^[A-Za-z0-9_-]{1,200}$/, EXPECTED_CURSOR)
  .transform((text) => Buffer.from(text, 'base64url').toString('utf8'));

/** The parameters of a list whose pages have at most `max` rows, and as many unless asked otherwise. */
export function pageQueryUpTo(max: number) {
  const expected = `expected a whole number from 1 to ${max}`;
  return {
    'page[size]': z
      .string(expected)
      .regex(/^\d{1,4}$/, expected)
      .transform(Number)
      .refine((size) => size >= 1 && size <= max, expected)
      .default(max),
    'page[after]': cursor.optional(),
    'page[before]': cursor.optional(),
  };
}

export const pageQuery = pageQueryUpTo(PAGE_SIZE_MAX);

/** One page to read: the rows that follow `after`, or those that precede `before`, in the list's order. */
export interface PageRequest {
  readonly size: number;
  readonly after: string | undefined;
  readonly before: string | undefined;
}

/** @throws DomainError RecordInvalid: a page cannot both follow one row and precede another */
export function pageRequest(query: {
  'page[size]': number;
  'page[after]'?: string | undefined;
  'page[before]'?: string | undefined;
}): PageRequest {
  const { 'page[size]': size, 'page[after]': after, 'page[before]': before } = query;
  if (after !== undefined && before !== undefined)
    throw invalid([{ field: 'page[before]', description: 'expected page[after] or page[before], not both' }]);
  return { size, after, before };
}

/** A page that was read: its rows in the list's order, and whether there are more in either direction. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly hasNext: boolean;
  readonly hasPrevious: boolean;
}

/**
 * Turns the `size + 1` rows that a store read (in reverse order when it read backwards) into a page.
 */
export function toPage<Row>(read: readonly Row[], page: PageRequest): Page<Row> {
  const more = read.length > page.size;
  const kept = read.slice(0, page.size);
  const backwards = page.before !== undefined;
  return {
    rows: backwards ? kept.reverse() : kept,
    hasNext: backwards ? true : more,
    hasPrevious: backwards ? more : page.after !== undefined,
  };
}

const printedCursor = z.string().nullable();

/** What every list says beside its rows. */
export const pageAnswerShape = {
  meta: z
    .strictObject({
      has_more: z.boolean().describe('Whether rows follow'),
      after_cursor: printedCursor.describe('`page[after]` of the next page'),
      before_cursor: printedCursor.describe('`page[before]` of the previous page'),
    })
    .meta({ id: 'PageMeta' }),
  links: z.strictObject({ next: z.url().nullable(), prev: z.url().nullable() }).meta({ id: 'PageLinks' }),
};

export interface PageAnswer {
  readonly meta: z.output<typeof pageAnswerShape.meta>;
  readonly links: z.output<typeof pageAnswerShape.links>;
}

/** A place in a list as a cursor: opaque to clients. */
export const toCursor = (key: string): string => Buffer.from(key).toString('base64url');

/**
 * The `meta` and `links` of a list's answer.
 * @param url the absolute URL of the request, whose other parameters the links keep
 * @param keyOf what a cursor says: the row's place in the order
 */
export function pageAnswer<Row>(page: Page<Row>, url: URL, keyOf: (row: Row) => string): PageAnswer {
  const encode = (row: Row | undefined) => (row === undefined ? null : toCursor(keyOf(row)));
  const after = encode(page.rows.at(-1));
  const before = encode(page.rows[0]);
  return {
    // Of a page without rows there is no cursor to go on from.
    meta: { has_more: page.hasNext && after !== null, after_cursor: after, before_cursor: before },
    links: {
      next: page.hasNext && after !== null ? linkTo(url, 'page[after]', after) : null,
      prev: page.hasPrevious && before !== null ? linkTo(url, 'page[before]', before) : null,
    },
  };
}

function linkTo(url: URL, parameter: string, value: string): string {
  const link = new URL(url);
  link.searchParams.delete('page[after]');
  link.searchParams.delete('page[before]');
  link.searchParams.set(parameter, value);
  return link.href;
}
