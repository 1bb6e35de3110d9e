import { Injectable } from '@nestjs/common';
import { Prisma } from '../database/generated/client.js';
import { PrismaService } from '../database/prisma.service.js';
import type { Page, PageRequest } from '../http/paging.js';

/** Rows and bytes that an export reads at once: of results of 100 bytes 2,000, of the largest a few. */
const BATCH_ROWS = 2_000;
const BATCH_BYTES = 1024 * 1024;

/** Results to look at: all, or those that succeeded or failed. */
export interface ResultFilter {
  readonly success?: boolean | undefined;
}

/** Whose job, and which of its results. */
export interface ResultQuery extends ResultFilter {
  readonly accountId: number;
  readonly jobId: string;
}

/** Results as JSON text, ready to be sent. */
export interface ResultPage {
  /** JSON objects separated by commas. */
  readonly items: string;
  /** Its rows are the first and the last position of the page; none when it is empty. */
  readonly page: Page<number>;
}

/** The results of consecutive positions, as lines that each end in a newline. */
export interface ResultLines {
  readonly text: string;
  /** The last position among them; null when there are no more. */
  readonly last: number | null;
}

export interface ResultRow {
  readonly index: number;
  readonly attempts: number;
  readonly success: boolean;
  readonly error: string | null;
  /** JSON text. */
  readonly result: string;
  /** JSON text; null for a success. */
  readonly task: string | null;
}

/**
 * One result as the API shows it, put together by Postgres: what handlers and clients wrote is neither parsed nor printed
 * here. Neither holds a raw newline, since both came out of JSON.stringify, so an item is also a line of NDJSON.
 */
const ITEM = Prisma.sql`
  '{"index":' || r.index || ',"attempts":' || r.attempts || ',"success":' || r.success::text || ',"result":' || r.result::text
  || CASE WHEN r.success THEN '' ELSE ',"error":' || to_json(r.error)::text || ',"task":' || r.task::text END || '}'`;

/** Reads the results of a job. Each statement also names the account, and finds nothing when the job is gone. */
@Injectable()
export class ResultStore {
  constructor(private readonly prisma: PrismaService) {}

  /** One statement, so that the page is of one moment. @returns null when the account has no such job */
  async page(query: ResultQuery, page: PageRequest): Promise<ResultPage | null> {
    const backwards = page.before !== undefined;
    const beyond =
      page.before !== undefined
        ? Prisma.sql`AND r.index < ${Number(page.before)}`
        : Prisma.sql`AND r.index > ${Number(page.after ?? -1)}`;
    const order = backwards ? Prisma.sql`r.index DESC` : Prisma.sql`r.index`;
    const [row] = await this.prisma.$queryRaw<
      { items: string; first: number | null; last: number | null; more: boolean }[]
    >`
      SELECT page.*
        FROM job_statuses j CROSS JOIN LATERAL (
          SELECT coalesce(string_agg(item, ',' ORDER BY index) FILTER (WHERE n <= ${page.size}), '') AS items,
                 min(index) FILTER (WHERE n <= ${page.size}) AS first,
                 max(index) FILTER (WHERE n <= ${page.size}) AS last,
                 count(*) > ${page.size} AS more
            FROM (SELECT r.index, row_number() OVER (ORDER BY ${order}) AS n, ${ITEM} AS item
                    FROM job_results r WHERE r.job_id = j.id ${beyond} ${having(query)}
                   ORDER BY ${order} LIMIT ${page.size + 1}) AS read
        ) AS page
       WHERE j.id = ${query.jobId}::uuid AND j.account_id = ${query.accountId}`;
    if (!row) return null;
    const edges = row.first === null || row.last === null ? [] : [row.first, row.last];
    return {
      items: row.items,
      page: {
        rows: edges,
        hasNext: backwards || row.more,
        hasPrevious: backwards ? row.more : page.after !== undefined,
      },
    };
  }

  /** The next results after this position as NDJSON. @returns null when the account has no such job */
  async lines(query: ResultQuery, after: number): Promise<ResultLines | null> {
    const [lines] = await this.prisma.$queryRaw<ResultLines[]>`
      SELECT batch.*
        FROM job_statuses j CROSS JOIN LATERAL (
          SELECT coalesce(string_agg(${ITEM} || E'\n', '' ORDER BY r.index), '') AS text, max(r.index) AS last
            FROM ${nextBatch(query, after)} r
        ) AS batch
       WHERE j.id = ${query.jobId}::uuid AND j.account_id = ${query.accountId}`;
    return lines ?? null;
  }

  /** The next results after this position. @returns null when the account has no such job */
  async rows(query: ResultQuery, after: number): Promise<ResultRow[] | null> {
    const rows = await this.prisma.$queryRaw<(ResultRow | { index: null })[]>`
      SELECT r.index, r.attempts::int AS attempts, r.success, r.error, r.result::text AS result, r.task::text AS task
        FROM job_statuses j LEFT JOIN LATERAL ${nextBatch(query, after)} r ON true
       WHERE j.id = ${query.jobId}::uuid AND j.account_id = ${query.accountId}
       ORDER BY r.index`;
    return rows.length === 0 ? null : rows.filter((row) => row.index !== null);
  }
}

const having = ({ success }: ResultFilter): Prisma.Sql =>
  success === undefined ? Prisma.empty : Prisma.sql`AND r.success = ${success}`;

/**
 * The results of job `j` that follow a position: no more than BATCH_ROWS, and as many as begin within BATCH_BYTES, or
 * 2,000 results of 64 KiB would be 128 MiB in this process. The length of a stored text is known without reading it.
 */
const nextBatch = (query: ResultFilter, after: number): Prisma.Sql => Prisma.sql`(
  SELECT * FROM (
    SELECT r.*, sum(r.bytes) OVER (ORDER BY r.index) - r.bytes AS bytes_before
      FROM (SELECT r.*, octet_length(r.result::text) + coalesce(octet_length(r.task::text), 0) AS bytes
              FROM job_results r WHERE r.job_id = j.id AND r.index > ${after} ${having(query)}
             ORDER BY r.index LIMIT ${BATCH_ROWS}) r) r
   WHERE r.bytes_before < ${BATCH_BYTES})`;
