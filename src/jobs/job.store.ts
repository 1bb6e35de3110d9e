import { Injectable } from '@nestjs/common';
import { Prisma } from '../database/generated/client.js';
import { PrismaService } from '../database/prisma.service.js';
import { workAdded } from '../happenings.js';
import { toPage, type Page, type PageRequest } from '../http/paging.js';
import type { EagerStart, Submission } from './eager-starts.js';
import type { CallbackState, JobState } from './job.js';
import type { JobFilter } from './job.schemas.js';
import {
  JOB_COLUMNS,
  jobValues,
  newJobSql,
  outcomeOf,
  outcomeSql,
  type NewJob,
  type SubmissionOutcome,
  type SubmissionRow,
} from './submission.sql.js';

/** A worker that has not been heard of for so long is not counted among the living. */
export const WORKER_SILENCE_SECONDS = 15;

/** The channel on which workers hear of new work; the payload is the task type. */
export const READY_CHANNEL = 'tally_ready';

/** The polled state of a job; `results` is a JSON array as text, ready to be sent. */
export interface StatusRow {
  readonly id: string;
  readonly total: number;
  readonly progress: number;
  readonly status: JobState;
  readonly message: string | null;
  readonly version: number;
  readonly results: string;
}

/** Of a job that was made just now. */
export const newStatus = ({ id, total }: Pick<NewJob, 'id' | 'total'>): StatusRow => ({
  id,
  total,
  progress: 0,
  status: 'working',
  message: null,
  version: 1,
  results: '[]',
});

/** As a poll reads it. */
export interface PolledRow extends StatusRow {
  /** The position of the last of `results`; null when there are none. */
  readonly lastInline: number | null;
}

/** The polled state less its results: what a client asks about that has it already. */
export type StatusHead = Omit<StatusRow, 'results'>;

export interface JobRow extends Omit<StatusRow, 'results'> {
  readonly type: string;
  readonly name: string | null;
  /** JSON text. */
  readonly metadata: string | null;
  readonly priority: number;
  readonly failed: number;
  readonly retrying: number;
  readonly running: number;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly paused: boolean;
  readonly maxAttempts: number;
  readonly maxFailures: number | null;
  readonly taskTimeoutSeconds: number;
  readonly startAt: Date | null;
  readonly deadline: Date | null;
  readonly callbackUrl: string | null;
  /** pending, delivered or failed; null: the job has none. */
  readonly callbackState: CallbackState | null;
  readonly callbackAttempts: number | null;
  readonly callbackError: string | null;
  readonly retryOf: string | null;
  readonly retriedBy: string | null;
  /** Seconds that the rest will take at the job's rate so far; null before the first result and after the end. */
  readonly etaSeconds: number | null;
}

/** With the time from which on it may be removed: of that the configuration knows, the database does not. */
export interface KeptJob extends JobRow {
  /** Null while it works. */
  readonly expiresAt: Date | null;
}

/**
 * The job's message; where there is none yet and no living worker knows the type, that: such a job waits, and whoever polls
 * it should see why. Said when it is read, since no process may be there to write it.
 */
const MESSAGE = Prisma.sql`coalesce(j.message, CASE
  WHEN j.status = 'working' AND j.started_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM workers w
     WHERE w.seen_at > clock_timestamp() - ${WORKER_SILENCE_SECONDS} * interval '1 second' AND j.type = ANY(w.types))
  THEN 'Waiting: no worker that knows ' || j.type || ' is running' END)`;

/**
 * The CTEs `given` and `chunks`: those of the jobs that the CTE `job` has added, leased where a worker of this process starts them and
 * nobody waits.
 * @param starts of the jobs, by their places; all of one worker
 */
function chunksSql(jobs: readonly Submission[], starts: readonly (EagerStart | null)[]): Prisma.Sql {
  const rows = jobs.flatMap(({ id, chunks }, n) =>
    chunks.map(
      ({ firstPosition, size, tasks }, k) =>
        Prisma.sql`(${id}::uuid, ${firstPosition}::int, ${size}::int, ${tasks}::json,
          ${starts[n]?.leaseIds[k] ?? null}::uuid, ${starts[n]?.slots[k] ?? null}::int)`,
    ),
  );
  const start = starts.find((each) => each !== null);
  return Prisma.sql`
    planned AS MATERIALIZED (
      SELECT job_id, first_position, size, tasks, CASE WHEN nobody_waits THEN lease_id END AS lease_id,
             CASE WHEN nobody_waits THEN slots END AS slots
        FROM (VALUES ${Prisma.join(rows)}) AS chunk (job_id, first_position, size, tasks, lease_id, slots), (
          SELECT NOT EXISTS (
            SELECT FROM turns WHERE is_waiting AND turns.type = ANY(${start?.types ?? []}::text[])) AS nobody_waits) AS turn
    ), chunks AS (
      INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks, state, visible_at,
                               lease_id, slots, worker, leased_at, lease_expires_at)
      SELECT job.id, job.account_id, job.type, job.priority, chunk.first_position, chunk.size, chunk.tasks,
             CASE WHEN lease_id IS NOT NULL THEN 'leased' WHEN start_at IS NULL THEN 'ready' ELSE 'waiting' END, start_at,
             lease_id, slots,
             CASE WHEN lease_id IS NOT NULL THEN ${start?.worker ?? null}::text END,
             CASE WHEN lease_id IS NOT NULL THEN clock_timestamp() END,
             CASE WHEN lease_id IS NOT NULL
                  THEN clock_timestamp() + ${start?.leaseMs ?? 0}::int * interval '1 millisecond' END
        FROM job JOIN planned AS chunk ON job_id = job.id
       ORDER BY job.id, chunk.first_position
      RETURNING id, lease_id, type
    )`;
}

/** What a submission's statement says of the chunks that it has leased. */
const LEASED = Prisma.sql`
  ARRAY(SELECT lease_id::text || ' ' || id FROM chunks WHERE lease_id IS NOT NULL) AS leased`;

interface Leased {
  /** Of each leased chunk: the lease's id, a space, the chunk's id. */
  readonly leased: readonly string[];
}

const leasedChunks = ({ leased }: Leased): Map<string, bigint> =>
  new Map(
    leased.map((pair): [string, bigint] => {
      const [leaseId = '', chunkId = ''] = pair.split(' ');
      return [leaseId, BigInt(chunkId)];
    }),
  );

const chunksOf = (jobs: readonly Submission[]): number =>
  jobs.reduce((count, { chunks }) => count + chunks.length, 0);

const NONE: ReadonlyMap<string, bigint> = new Map();

/** Settles the starts with what was leased, or with nothing. */
async function settling<Result>(
  starts: readonly (EagerStart | null)[],
  submit: () => Promise<{ readonly result: Result; readonly leased: ReadonlyMap<string, bigint> }>,
): Promise<Result> {
  let leased = NONE;
  try {
    const done = await submit();
    leased = done.leased;
    return done.result;
  } finally {
    for (const start of starts) start?.settle(leased);
  }
}

/** The only place that writes a job's state, beside the worker's records (workers/record.sql.ts). */
@Injectable()
export class JobStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * Commits the job and all of its chunks, and wakes the workers, in one statement: after it the job survives any crash.
   * Multi-row VALUES are as fast as COPY here; unnest is the slowest, since the driver escapes JSON inside arrays.
   * @param start is settled, whatever comes of it
   */
  async submit(job: Submission, start: EagerStart | null = null): Promise<SubmissionOutcome> {
    return settling([start], async () => {
      const [row] = await this.prisma.rows<SubmissionRow & Leased>(
        job.chunks.length === 1 ? 'submit' : null,
        Prisma.sql`
        WITH ${newJobSql(job)}, ${chunksSql([job], [start])}
        ${outcomeSql(READY_CHANNEL, Prisma.sql`job WHERE EXISTS (SELECT FROM chunks WHERE lease_id IS NULL)`)}, ${LEASED}
          FROM room`,
      );
      const leased = row ? leasedChunks(row) : NONE;
      return { result: outcomeOf(row, job.maxWorkingJobs, leased.size < job.chunks.length), leased };
    });
  }

  /**
   * As `submit`, of several jobs of one account without an Idempotency-Key or a callback, in one commit: all that there is room
   * for, in their order.
   * @param starts of the jobs, by their places; settled, whatever comes of it
   * @throws what of a single one would be its error; then none is added
   */
  async submitMany(
    jobs: readonly Submission[],
    starts: readonly (EagerStart | null)[] = [],
  ): Promise<SubmissionOutcome[]> {
    const [{ accountId, maxWorkingJobs: max }] = jobs as [Submission];
    const rows = jobs.map((job, n) => Prisma.sql`(${n + 1}::int, ${jobValues(job)})`);
    return settling(starts, async () => {
      const [row] = await this.prisma.rows<{ made: string[]; working: string[] } & Leased>(
        null,
        Prisma.sql`
        WITH room AS MATERIALIZED (
          SELECT take_room(${accountId}::int, ${max}::int, ${jobs.length}::int) AS working
        ), given (n, ${JOB_COLUMNS}) AS (
          VALUES ${Prisma.join(rows)}
        ), job AS (
          INSERT INTO job_statuses (${JOB_COLUMNS})
          SELECT ${JOB_COLUMNS} FROM given, room WHERE cardinality(working) + n <= ${max}::int
          RETURNING id, account_id, type, priority, start_at
        ), ${chunksSql(jobs, starts)}
        SELECT ARRAY(SELECT id::text FROM job) AS made, working::text[] AS working,
               (SELECT count(pg_notify(${READY_CHANNEL}, type))
                  FROM (SELECT DISTINCT type FROM chunks WHERE lease_id IS NULL) AS types) AS told, ${LEASED}
          FROM room`,
      );
      if (!row) throw new Error('submissions were not answered');
      const made = new Set(row.made);
      const leased = leasedChunks(row);
      if (leased.size < chunksOf(jobs.filter(({ id }) => made.has(id)))) workAdded.tell({ jobs: made.size });
      const working = [...row.working, ...row.made].slice(0, max);
      return { result: jobs.map(({ id }) => (made.has(id) ? 'made' : { working })), leased };
    });
  }

  /**
   * The status and its first `resultsMax` results in one snapshot: one statement, so that no commit falls between the
   * progress and the results it counts. Postgres joins the results' JSON as text; Node neither parses nor prints it.
   * @returns null when the account has no such job
   */
  async status(accountId: number, id: string, resultsMax: number): Promise<PolledRow | null> {
    const [row] = await this.#statuses(accountId, [id], resultsMax);
    return row ?? null;
  }

  /** As `status`, of many jobs, in the order of `ids`; those the account does not have are left out. */
  async statusMany(accountId: number, ids: readonly string[], resultsMax: number): Promise<PolledRow[]> {
    const rows = await this.#statuses(accountId, ids, resultsMax);
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.flatMap((id) => byId.get(id) ?? []);
  }

  /**
   * How much `statusMany` would read: the bytes of the inline results of each job, by its id. The length of a stored text is
   * known without reading it.
   */
  async inlineBytes(
    accountId: number,
    ids: readonly string[],
    resultsMax: number,
  ): Promise<ReadonlyMap<string, number>> {
    const rows = await this.prisma.$queryRaw<{ id: string; bytes: number }[]>`
      SELECT j.id::text, inline.bytes::float8 AS bytes
        FROM job_statuses j CROSS JOIN LATERAL (
               SELECT coalesce(sum(octet_length(r.result::text)), 0) AS bytes
                 FROM (SELECT result FROM job_results WHERE job_id = j.id ORDER BY index LIMIT ${resultsMax}) r) AS inline
       WHERE j.id = ANY(${ids}::uuid[]) AND j.account_id = ${accountId} AND j.progress > 0`;
    return new Map(rows.map(({ id, bytes }) => [id, bytes]));
  }

  /** As `status`, less the results: a look at one row. */
  async head(accountId: number, id: string): Promise<StatusHead | null> {
    const [head] = await this.#heads(Prisma.sql`j.id = ${id}::uuid AND j.account_id = ${accountId}`);
    return head ?? null;
  }

  /** Many jobs, whosever they are, in no order: for those who may already see them. */
  async heads(ids: readonly string[]): Promise<StatusHead[]> {
    return this.#heads(Prisma.sql`j.id = ANY(${ids}::uuid[])`);
  }

  #heads(where: Prisma.Sql): Promise<StatusHead[]> {
    return this.prisma.rows<StatusHead>(
      'heads',
      Prisma.sql`
      SELECT j.id::text, j.total, j.progress, j.status, ${MESSAGE} AS message, j.version
        FROM job_statuses j WHERE ${where}`,
    );
  }

  #statuses(accountId: number, ids: readonly string[], resultsMax: number): Promise<PolledRow[]> {
    return this.prisma.rows<PolledRow>(
      'statuses',
      Prisma.sql`
      SELECT j.id::text, j.total, j.progress, j.status, ${MESSAGE} AS message, j.version,
             inline.last AS "lastInline", '[' || coalesce(inline.results, '') || ']' AS results
        FROM job_statuses j LEFT JOIN LATERAL (
               SELECT string_agg(r.result::text, ',' ORDER BY r.index) AS results, max(r.index) AS last
                 FROM (SELECT index, result FROM job_results
                        WHERE job_id = j.id ORDER BY index LIMIT ${resultsMax}) r) AS inline ON j.progress > 0
       WHERE j.id = ANY(${ids}::uuid[]) AND j.account_id = ${accountId}`,
    );
  }

  /** The full resource; its counts come from the same snapshot. @returns null when the account has no such job */
  async job(accountId: number, id: string): Promise<JobRow | null> {
    const [row] = await this.#jobs(
      Prisma.sql`j.account_id = ${accountId} AND j.id = ${id}::uuid`,
      Prisma.sql`1`,
      1,
    );
    return row ?? null;
  }

  /** Many jobs, whosever they are, in no order: for those who may already see them. */
  jobs(ids: readonly string[]): Promise<JobRow[]> {
    return this.#jobs(Prisma.sql`j.id = ANY(${ids}::uuid[])`, Prisma.sql`1`, ids.length);
  }

  /** The account's jobs, newest first. */
  async list(accountId: number, filter: JobFilter, page: PageRequest): Promise<Page<JobRow>> {
    const backwards = page.before !== undefined;
    const where = [
      Prisma.sql`j.account_id = ${accountId}`,
      ...(filter.status !== undefined ? [Prisma.sql`j.status = ${filter.status}`] : []),
      ...(filter.type !== undefined ? [Prisma.sql`j.type = ${filter.type}`] : []),
      ...(filter.name !== undefined ? [Prisma.sql`j.name = ${filter.name}`] : []),
      ...(filter.createdBy !== undefined
        ? [Prisma.sql`j.created_by = (SELECT id FROM users WHERE email = ${filter.createdBy})`]
        : []),
      ...(page.after !== undefined ? [Prisma.sql`j.id < ${page.after}::uuid`] : []),
      ...(page.before !== undefined ? [Prisma.sql`j.id > ${page.before}::uuid`] : []),
    ];
    const order = backwards ? Prisma.sql`j.id ASC` : Prisma.sql`j.id DESC`;
    return toPage(await this.#jobs(Prisma.join(where, ' AND '), order, page.size + 1), page);
  }

  #jobs(where: Prisma.Sql, order: Prisma.Sql, limit: number): Promise<JobRow[]> {
    return this.prisma.$queryRaw<JobRow[]>`
      SELECT j.id::text, j.total, j.progress, j.status, ${MESSAGE} AS message, j.version, j.type, j.name,
             j.metadata::text AS metadata, j.priority::int AS priority, j.failed,
             coalesce(c.retrying, 0)::int AS retrying, coalesce(c.running, 0)::int AS running,
             u.email AS "createdBy", j.created_at AS "createdAt", j.started_at AS "startedAt",
             j.finished_at AS "finishedAt", j.paused, j.max_attempts::int AS "maxAttempts",
             j.max_failures AS "maxFailures", j.task_timeout_seconds AS "taskTimeoutSeconds",
             j.start_at AS "startAt", j.deadline, b.url AS "callbackUrl", b.state AS "callbackState",
             b.attempts AS "callbackAttempts", b.last_error AS "callbackError", j.retry_of::text AS "retryOf",
             (SELECT id::text FROM job_statuses WHERE retry_of = j.id) AS "retriedBy",
             CASE WHEN j.status = 'working' AND j.progress > 0 THEN
               least(2147483647,
                     ceil(extract(epoch FROM clock_timestamp() - j.started_at) * (j.total - j.progress) / j.progress))::int
             END AS "etaSeconds"
        FROM (SELECT * FROM job_statuses j WHERE ${where} ORDER BY ${order} LIMIT ${limit}) j
        JOIN users u ON u.id = j.created_by
        LEFT JOIN job_callbacks b ON b.job_id = j.id
        LEFT JOIN LATERAL (
          SELECT sum(size - recorded) FILTER (WHERE state = 'leased') AS running,
                 sum(size) FILTER (WHERE state <> 'leased' AND attempt > 0) AS retrying
            FROM task_chunks WHERE job_id = j.id AND j.status = 'working') c ON true
       ORDER BY ${order}`;
  }
}
