import { expect } from '@jest/globals';
import type pg from 'pg';
import { failedOf, type Chunk, type Job, type Model } from './model.js';

/** A look at all rows, in one snapshot, and what the model says that they must be, both as lines that people can read. */

interface JobRow {
  readonly id: string;
  readonly account: number;
  readonly status: string;
  readonly total: number;
  readonly progress: number;
  readonly failed: number;
  readonly version: number;
  readonly paused: boolean;
  readonly ordered: boolean;
  readonly message: string | null;
  readonly started: boolean;
  readonly retryOf: string | null;
  /** Every column, as Postgres writes the row. */
  readonly whole: string;
}

interface ChunkRow {
  readonly job: string;
  readonly id: string;
  readonly state: string;
  readonly positions: number[];
  readonly tasks: string;
  readonly attempt: number;
  readonly recorded: number;
  readonly suspect: boolean;
  readonly crashes: number;
  readonly survived: number;
  readonly alone: boolean;
  readonly leaseId: string | null;
  readonly worker: string | null;
  readonly slots: number | null;
  readonly endsMs: number | null;
}

interface ResultRow {
  readonly job: string;
  readonly index: number;
  readonly success: boolean;
  readonly result: string;
  readonly attempts: number;
  readonly error: string | null;
  readonly task: string | null;
}

export interface Rows {
  readonly clockMs: number;
  readonly jobs: JobRow[];
  readonly chunks: ChunkRow[];
  readonly results: ResultRow[];
  readonly removed: string[];
  readonly written: string[];
}

const MS = (time: string) => `extract(epoch FROM ${time}) * 1000`;

const LOOK = `
  SELECT ${MS('clock_timestamp()')}::float8 AS "clockMs",
    (SELECT coalesce(json_agg(json_build_object(
        'id', j.id, 'account', j.account_id, 'status', j.status, 'total', j.total, 'progress', j.progress, 'failed', j.failed,
        'version', j.version, 'paused', j.paused, 'ordered', j.ordered, 'message', j.message,
        'started', j.started_at IS NOT NULL, 'retryOf', j.retry_of, 'whole', j::text)), '[]')
       FROM job_statuses j) AS jobs,
    (SELECT coalesce(json_agg(json_build_object(
        'job', c.job_id, 'id', c.id::text, 'state', c.state, 'tasks', c.tasks::text, 'attempt', c.attempt,
        'recorded', c.recorded, 'suspect', c.suspect, 'crashes', c.crashes, 'survived', c.survived, 'alone', c.alone,
        'leaseId', c.lease_id, 'worker', c.worker, 'slots', c.slots, 'endsMs', ${MS('c.lease_expires_at')},
        'positions', CASE WHEN cardinality(c.positions) > 0 THEN to_json(c.positions)
          ELSE to_json(ARRAY(SELECT generate_series(c.first_position, c.first_position + c.size - 1))) END)), '[]')
       FROM task_chunks c) AS chunks,
    (SELECT coalesce(json_agg(json_build_object(
        'job', r.job_id, 'index', r.index, 'success', r.success, 'result', r.result::text, 'attempts', r.attempts,
        'error', r.error, 'task', r.task::text)), '[]')
       FROM job_results r) AS results,
    (SELECT coalesce(json_agg(job_id), '[]') FROM deleted_jobs) AS removed,
    (SELECT coalesce(json_agg(title), '[]') FROM tickets) AS written`;

export async function look(sql: pg.Pool): Promise<Rows> {
  const { rows } = await sql.query<Rows>({ name: 'look', text: LOOK });
  return rows[0]!;
}

/** Before a walk: nothing is left of the last one. */
export const CLEAR = `TRUNCATE job_statuses, task_chunks, job_results, deleted_jobs, duties, turns, virtual_times, tickets`;

const jobLine = (job: string, facts: readonly unknown[]) => `${job} ${facts.map(String).join(' | ')}`;

function linesOfModel(model: Model, accounts: readonly number[]): string[] {
  const lines: string[] = [...model.written].map((title) => `written ${title}`);
  for (const job of model.jobs) {
    const name = `job ${job.no}`;
    lines.push(
      job.isRemoved
        ? `${name} is removed`
        : jobLine(name, [
            `account ${accounts[job.account]}`,
            job.status,
            `${job.results.size} of ${job.tasks.length}, ${failedOf(job)} failed`,
            `version ${job.version}`,
            flags({ paused: job.paused, ordered: job.ordered, started: job.isStarted }),
            job.message,
            job.retryOf ? `retry of ${job.retryOf.no}` : '',
          ]),
    );
    for (const [index, result] of job.results)
      lines.push(`${name} result ${index}: ${JSON.stringify(result)}`);
    for (const chunk of job.chunks)
      lines.push(chunkLine(name, { ...chunk, ...chunk.held, tasks: tasksOf(job, chunk) }));
  }
  return lines.sort();
}

const tasksOf = (job: Job, chunk: Chunk): string =>
  JSON.stringify(chunk.positions.map((position) => JSON.parse(job.tasks[position]!) as unknown));

function linesOfRows(rows: Rows, names: ReadonlyMap<string, number>): string[] {
  const name = (id: string) => `job ${names.get(id) ?? id}`;
  return [
    ...rows.written.map((title) => `written ${title}`),
    ...rows.removed.map((id) => `${name(id)} is removed`),
    ...rows.jobs.map((job) =>
      jobLine(name(job.id), [
        `account ${job.account}`,
        job.status,
        `${job.progress} of ${job.total}, ${job.failed} failed`,
        `version ${job.version}`,
        flags({ paused: job.paused, ordered: job.ordered, started: job.started }),
        job.message?.replace(/ at \w{3} \w{3} \d\d \d\d:\d\d:\d\d \+0000 \d{4}/, ' at T') ?? null,
        job.retryOf ? `retry of ${names.get(job.retryOf)}` : '',
      ]),
    ),
    ...rows.results.map(
      ({ job, index, ...result }) => `${name(job)} result ${index}: ${JSON.stringify(result)}`,
    ),
    ...rows.chunks.map((chunk) =>
      chunkLine(name(chunk.job), {
        ...chunk,
        leaseId: chunk.leaseId ?? undefined,
        tasks: JSON.stringify(JSON.parse(chunk.tasks)),
      }),
    ),
  ].sort();
}

type ChunkFacts = Pick<
  Chunk,
  'positions' | 'attempt' | 'recorded' | 'suspect' | 'crashes' | 'survived' | 'alone'
> & {
  readonly state: string;
  readonly tasks: string;
  readonly leaseId?: string | undefined;
  readonly worker?: string | null;
  readonly slots?: number | null;
};

const chunkLine = (job: string, chunk: ChunkFacts): string =>
  jobLine(`${job} chunk`, [
    `${chunk.state} ${chunk.positions.join(' ')}`,
    `attempt ${chunk.attempt}`,
    `recorded ${chunk.recorded}`,
    `crashes ${chunk.crashes}, ${chunk.survived} survived`,
    flags({ suspect: chunk.suspect, alone: chunk.alone }),
    chunk.leaseId ? `lease ${chunk.leaseId} of ${chunk.worker}, ${chunk.slots} slots` : '',
    chunk.tasks,
  ]);

const flags = (which: Record<string, boolean>): string =>
  Object.entries(which)
    .filter(([, is]) => is)
    .map(([word]) => word)
    .join(' ');

/** Compares the rows with the model, keeps the rules that need no model, and learns the numbers of new chunks. */
export class RowCheck {
  readonly #versions = new Map<string, number>();
  readonly #ended = new Map<string, string>();
  readonly #names = new Map<string, number>();

  constructor(private readonly accounts: readonly number[]) {}

  compare(model: Model, rows: Rows): void {
    for (const job of model.jobs) this.#names.set(job.id, job.no);
    const is = linesOfRows(rows, this.#names);
    const mustBe = linesOfModel(model, this.accounts);
    // The bare comparison first, here and below: the one that tells the difference takes a hundred times as long.
    if (is.join('\n') !== mustBe.join('\n')) expect(is).toEqual(mustBe);
    for (const job of rows.jobs) this.#checkJob(job, rows);
    for (const job of model.jobs) this.#checkChunks(job, rows);
  }

  /** The test itself has changed an ended job: what it is now is what it must stay. */
  forget(job: Job): void {
    this.#ended.delete(job.id);
  }

  #checkJob(job: JobRow, rows: Rows): void {
    const results = rows.results.filter((result) => result.job === job.id);
    const failures = results.filter((result) => !result.success).length;
    if (job.progress !== results.length || job.failed !== failures)
      expect([job.progress, job.failed]).toEqual([results.length, failures]);
    const before = this.#versions.get(job.id) ?? 1;
    if (job.version < before) expect(job.version).toBeGreaterThanOrEqual(before);
    this.#versions.set(job.id, job.version);
    if (job.status !== 'working') {
      const ended = this.#ended.get(job.id) ?? job.whole;
      if (job.whole !== ended) expect(job.whole).toBe(ended);
      this.#ended.set(job.id, job.whole);
    }
    const recorded = new Set(results.map((result) => result.index));
    const inChunks = rows.chunks
      .filter((chunk) => chunk.job === job.id)
      .flatMap((chunk) => chunk.positions)
      .filter((position) => !recorded.has(position))
      .sort((a, b) => a - b);
    const open = Array.from({ length: job.total }, (_, n) => n).filter((n) => !recorded.has(n));
    if (inChunks.join() !== open.join()) expect(inChunks).toEqual(open);
  }

  #checkChunks(job: Job, rows: Rows): void {
    for (const chunk of job.chunks) {
      const row = rows.chunks.find((one) => one.job === job.id && one.positions[0] === chunk.positions[0])!;
      chunk.id ??= row.id;
      if (row.id !== chunk.id) expect(row.id).toBe(chunk.id);
      if (!chunk.held) continue;
      const { isExpired, endsAfterMs } = chunk.held;
      const endsMs = row.endsMs ?? NaN;
      // Postgres rounds the times of leases to milliseconds.
      const isRight = isExpired ? endsMs < rows.clockMs : endsMs >= endsAfterMs - 1;
      if (!isRight) expect({ isExpired, endsMs }).toEqual({ isExpired, endsMs: endsAfterMs });
    }
  }
}
