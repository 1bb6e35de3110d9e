import { newJobId, printJobId } from '../../src/jobs/job.js';
import type { Served } from '../http/http-support.js';

export interface StoredResult {
  readonly index: number;
  readonly result: string;
  readonly attempts?: number;
  /** Of a failed task: both or neither. */
  readonly error?: string;
  readonly task?: string;
}

/** A job with these results, written as a worker's records leave it. @returns its id as the API shows it */
export async function jobWith(
  { app, user }: Pick<Served, 'app' | 'user'>,
  results: readonly StoredResult[],
  { total = results.length }: { total?: number } = {},
): Promise<string> {
  const id = newJobId();
  await insertJob({ app, user }, id, total, results.length, results.filter((row) => row.error).length);
  await app.prisma.jobResult.createMany({
    data: results.map(({ result, task, ...row }) => ({
      jobId: id,
      attempts: 1,
      success: row.error === undefined,
      ...row,
      result: JSON.parse(result) as object,
      ...(task !== undefined && { task: JSON.parse(task) as object }),
    })),
  });
  return printJobId(id);
}

/** A completed job of `total` tasks; every `failEvery`-th has failed. @returns its id as the API shows it */
export async function bigJob(
  served: Pick<Served, 'app' | 'user'>,
  total: number,
  { failEvery = total + 1, padding = 0 }: { failEvery?: number; padding?: number } = {},
): Promise<string> {
  const id = newJobId();
  await insertJob(served, id, total, total, Math.floor(total / failEvery));
  await served.app.prisma.$executeRaw`
    INSERT INTO job_results (job_id, index, success, result, attempts, error, task)
    SELECT ${id}::uuid, n - 1, n % ${failEvery}::int <> 0, json_build_object('n', n - 1, 'pad', repeat('x', ${padding}::int)), 1,
           CASE WHEN n % ${failEvery}::int = 0 THEN 'Broken' END, CASE WHEN n % ${failEvery}::int = 0 THEN json_build_object('n', n - 1) END
      FROM generate_series(1, ${total}::int) AS n`;
  return printJobId(id);
}

async function insertJob(
  { app, user }: Pick<Served, 'app' | 'user'>,
  id: string,
  total: number,
  progress: number,
  failed: number,
): Promise<void> {
  const isOver = progress === total;
  await app.prisma.jobStatus.create({
    data: {
      id,
      accountId: user.accountId,
      createdBy: user.userId,
      type: 'test.anything',
      total,
      progress,
      failed,
      startedAt: new Date(),
      ...(isOver && { status: 'completed', finishedAt: new Date(), message: 'Completed' }),
    },
  });
}

/** Reads RFC 4180, and nothing that is merely like it: a stray quote, CR or LF is an error. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  const cell = /"((?:[^"]|"")*)"|([^",\r\n]*)/y;
  for (let at = 0; at < text.length;) {
    const row: string[] = [];
    for (;;) {
      cell.lastIndex = at;
      const [whole, quoted, bare] = cell.exec(text)!;
      row.push(quoted?.replaceAll('""', '"') ?? bare!);
      at += whole.length;
      if (text[at] !== ',') break;
      at += 1;
    }
    if (text.slice(at, at + 2) !== '\r\n')
      throw new Error(`expected CRLF at ${at}: ${text.slice(at, at + 20)}`);
    at += 2;
    rows.push(row);
  }
  return rows;
}
