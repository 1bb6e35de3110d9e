import { Injectable } from '@nestjs/common';
import { stringify } from 'csv-stringify/sync';
import { Readable } from 'node:stream';
import type { Principal } from '../auth/principal.js';
import { invalid, notFound } from '../errors.js';
import type { PageRequest } from '../http/paging.js';
import { parseJobId } from './job.js';
import {
  ResultStore,
  type ResultFilter,
  type ResultPage,
  type ResultQuery,
  type ResultRow,
} from './result.store.js';

/** Positions are what Postgres calls an integer. */
const POSITION_MAX = 2_147_483_647;

/** The columns of a CSV export; `result` and `task` are JSON text, since every handler has members of its own. */
export const CSV_COLUMNS = ['index', 'attempts', 'success', 'error', 'result', 'task'] as const;

/** A part of an export; the position after which the next one begins is null when there is none. */
interface Part {
  readonly text: string;
  readonly last: number | null;
}

/** What the tasks of a job became: a page at a time, or all of it as a stream. */
@Injectable()
export class JobResultsService {
  constructor(private readonly store: ResultStore) {}

  /** @throws DomainError RecordNotFound, RecordInvalid: a cursor that no page gave */
  async page(caller: Principal, id: string, filter: ResultFilter, page: PageRequest): Promise<ResultPage> {
    for (const field of ['after', 'before'] as const)
      if (page[field] !== undefined && !isPosition(page[field]))
        throw invalid([
          { field: `page[${field}]`, description: 'expected a cursor that an earlier page gave' },
        ]);
    return found(await this.store.page(queryOf(caller, id, filter), page));
  }

  /** A line of JSON a result, by position. Read as fast as it is consumed. @throws DomainError RecordNotFound */
  async ndjson(caller: Principal, id: string, filter: ResultFilter): Promise<Readable> {
    const query = queryOf(caller, id, filter);
    return streamOf(async (after) => found(await this.store.lines(query, after)));
  }

  /** RFC 4180 with a header, by position. Read as fast as it is consumed. @throws DomainError RecordNotFound */
  async csv(caller: Principal, id: string, filter: ResultFilter): Promise<Readable> {
    const query = queryOf(caller, id, filter);
    return streamOf(
      async (after) => {
        const rows = found(await this.store.rows(query, after));
        return { text: csvLines(rows), last: rows.at(-1)?.index ?? null };
      },
      csvLines([CSV_COLUMNS]),
    );
  }
}

const isPosition = (text: string): boolean => /^\d{1,10}$/.test(text) && Number(text) <= POSITION_MAX;

function queryOf(caller: Principal, id: string, filter: ResultFilter): ResultQuery {
  return { accountId: caller.accountId, jobId: found(parseJobId(id)), ...filter };
}

function found<T>(value: T | null): T {
  if (value === null) throw notFound();
  return value;
}

/**
 * The first part is read before there is a stream, so that what is wrong is still an answer of its own. Whatever goes wrong
 * later (the database away, the job deleted) breaks the stream off, and the client sees that it is not whole.
 */
async function streamOf(read: (after: number) => Promise<Part>, head = ''): Promise<Readable> {
  const first = await read(-1);
  return Readable.from(texts(first, read, head), { objectMode: false });
}

/** Pulled by the consumer: nothing is read while it has not taken what there is. */
async function* texts(first: Part, read: (after: number) => Promise<Part>, head: string) {
  if (head !== '') yield head;
  for (let part = first; part.last !== null; part = await read(part.last)) yield part.text;
}

/** Cells that a spreadsheet would take for a formula get an apostrophe in front. */
export const csvLines = (rows: readonly (ResultRow | readonly string[])[]): string =>
  stringify([...rows], {
    columns: [...CSV_COLUMNS],
    record_delimiter: '\r\n',
    // A CR or LF that stands alone is no delimiter to the library, and is one to a spreadsheet.
    quote_record_delimiter: true,
    escape_formulas: true,
    cast: { boolean: String },
  });
