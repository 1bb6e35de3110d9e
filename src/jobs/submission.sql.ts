import { Prisma } from '../database/generated/client.js';
import { workAdded } from '../happenings.js';
import type { JobOptions } from './job.schemas.js';

/** What both ways to submit a job say to the database: there is room, the key is held, here is the job. */

/** An Idempotency-Key that the request holds. */
export interface HeldKey {
  readonly key: string;
  readonly owner: string;
  /** SHA-256 of the request: its method, path, query and body. */
  readonly fingerprint: Uint8Array<ArrayBuffer>;
}

export interface NewJob {
  readonly id: string;
  readonly accountId: number;
  readonly createdBy: number;
  readonly type: string;
  readonly options: JobOptions;
  /** Where the client reached the service: the url in the job's callback begins with it. */
  readonly origin?: string;
  readonly total: number;
  /** Whether its chunks must run one after the other. */
  readonly ordered: boolean;
  /** Jobs of the account that may work at once. */
  readonly maxWorkingJobs: number;
  readonly key: HeldKey | null;
}

/** So long the same key brings the same job. */
export const KEY_HOURS = 24;

/** What a job's row is made of; all else has defaults. */
export const JOB_COLUMNS = Prisma.sql`
  id, account_id, created_by, type, name, metadata, priority, max_attempts, task_timeout_seconds, max_failures, start_at,
  deadline, ordered, total`;

/** In the order of JOB_COLUMNS. */
export function jobValues(job: NewJob): Prisma.Sql {
  const { options } = job;
  const metadata = options.metadata ? JSON.stringify(options.metadata) : null;
  return Prisma.sql`${job.id}::uuid, ${job.accountId}::int, ${job.createdBy}::int, ${job.type}, ${options.name ?? null}::text,
    ${metadata}::json, ${options.priority}::smallint, ${options.max_attempts}::smallint,
    ${options.task_timeout}::int, ${options.max_failures ?? null}::int,
    ${options.start_at ?? null}::timestamptz, ${options.deadline ?? null}::timestamptz,
    ${job.ordered}::boolean, ${job.total}::int`;
}

/**
 * The CTEs `room` and `job`: the job is added if the account has room for it, the request still holds its key and `provided`
 * is true. The key, the callback and the job commit together.
 *
 * One round trip, as without the limit: one client submits as fast as before (1.7 ms a job of ten tasks), eight clients of
 * eight accounts at four fifths of the rate (674 a second against 841; the runs differed by a fifth), eight of one account at
 * two thirds, since an account's submissions then commit one after the other.
 */
export function newJobSql(job: NewJob, provided = Prisma.sql`true`): Prisma.Sql {
  const { options, key } = job;
  const held =
    key && Prisma.sql`account_id = ${job.accountId} AND key = ${key.key} AND owner = ${key.owner}::uuid`;
  return Prisma.sql`
    room AS MATERIALIZED (
      SELECT take_room(${job.accountId}::int, ${job.maxWorkingJobs}::int, 1) AS working
    ), ${
      held
        ? Prisma.sql`held_key AS MATERIALIZED (
      SELECT 1 FROM idempotency_keys WHERE ${held} AND job_id IS NULL FOR UPDATE
    ),`
        : Prisma.empty
    } job AS (
      INSERT INTO job_statuses (${JOB_COLUMNS})
      SELECT ${jobValues(job)}
        FROM room
       WHERE ${provided} AND cardinality(working) < ${job.maxWorkingJobs}::int
         ${held ? Prisma.sql`AND EXISTS (SELECT FROM held_key)` : Prisma.empty}
      RETURNING id, account_id, type, priority, start_at
    ) ${
      held
        ? Prisma.sql`, used_key AS (
      UPDATE idempotency_keys SET job_id = job.id, fingerprint = ${key.fingerprint},
             expires_at = clock_timestamp() + ${KEY_HOURS} * interval '1 hour'
        FROM job WHERE idempotency_keys.account_id = ${job.accountId} AND key = ${key.key}
    )`
        : Prisma.empty
    }${
      options.callback_url
        ? Prisma.sql`, callback AS (
      INSERT INTO job_callbacks (job_id, account_id, url, origin)
      SELECT id, account_id, ${options.callback_url}, ${job.origin ?? ''} FROM job
    )`
        : Prisma.empty
    }`;
}

/** The row that `outcomeSql` reads. */
export interface SubmissionRow {
  readonly made: boolean;
  readonly working: string[];
}

/**
 * What the statement answers with, of the CTE `room`, and the workers' wake-up.
 * @param waiting the job, if something of it waits for a worker
 */
export const outcomeSql = (channel: string, waiting = Prisma.sql`job`): Prisma.Sql => Prisma.sql`
  SELECT EXISTS (SELECT FROM job) AS made, working::text[] AS working,
         (SELECT pg_notify(${channel}, type)::text FROM ${waiting}) AS told`;

/** The job was added; or the account has no room, because of these jobs; or what the request held is another's by now. */
export type SubmissionOutcome = 'made' | { readonly working: readonly string[] } | 'lost';

/** @param waits whether something of the job waits for a worker */
export function outcomeOf(
  row: SubmissionRow | undefined,
  maxWorkingJobs: number,
  waits = true,
): SubmissionOutcome {
  if (!row) throw new Error('a submission was not answered');
  if (row.made) {
    if (waits) workAdded.tell({ jobs: 1 });
    return 'made';
  }
  return row.working.length >= maxWorkingJobs ? { working: row.working } : 'lost';
}
