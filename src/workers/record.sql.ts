import { Prisma } from '../database/generated/client.js';
import { joinArrays } from '../jobs/json-text.js';
import type { Suspicion } from './suspicion.js';

/**
 * The two statements by which a worker changes a job: flush and finish. Both are fenced: they name the lease and that the
 * job is working, and undo themselves whole (require_lease raises TY001) unless exactly that chunk and that job were hit.
 *
 * Each is one statement, so that results, progress, the chunk and the job's end are one commit without an extra round
 * trip, and the locks come in one order everywhere: chunk, then job. The job's UPDATE reads from the INSERT and so comes
 * last: it is the row on which all workers of a job meet.
 *
 * Results travel as one JSON text that Postgres takes apart; of the ways tried for 500 results (json array 1.9 ms,
 * json_to_recordset 2.4, COPY 2.4, multi-row VALUES 2.5, unnest 2.5) it is the fastest and costs Node the least. `json`
 * and not `jsonb`, which would lose the order of a result's keys.
 */

/** Which lease a write is on behalf of. */
export interface LeaseRef {
  readonly jobId: string;
  readonly chunkId: bigint;
  readonly leaseId: string;
}

/** Results to record; `count` of them in all; `positions[i]` is that of the i-th element of `results`. */
export interface RecordedResults {
  readonly count: number;
  /** Of the tasks that succeeded. */
  readonly positions: readonly number[];
  /** JSON array text, a result a position. */
  readonly results: string;
  /** JSON array text of `{position, result, error, task}`, one for each failed task. */
  readonly failures: string;
  /** Attempts that each of these tasks has had, this one included. */
  readonly attempts: number;
  /** What the handler last said, if anything. */
  readonly message: string | null;
}

/** Work that goes on in another chunk when this one ends. */
export interface Successor extends Suspicion {
  /** Ascending. */
  readonly positions: readonly number[];
  readonly tasks: readonly unknown[];
  /** How often these tasks have failed. */
  readonly attempt: number;
  /** From now, by Postgres's clock; 0: ready at once. */
  readonly delayMs: number;
  /** These tasks are running: their chunk stays with the lease. At most one successor of a chunk. */
  readonly keepsLease?: true;
}

/**
 * What is known of the positions' results. `unheard`: none has one, since this record was never sent before; one that has is an
 * error (23505), and nothing stands. `some-new`: it may have been committed when its connection was cut; what is there already
 * stands and is not counted twice. `all-new`: in a handler's transaction a result that is there already must undo all, or
 * what the handler wrote would be written twice.
 *
 * To look for each row whether it is there (ON CONFLICT) takes a quarter of the insertion's processor time: 7.7 µs a row against
 * 5.5. So a record is sent as `unheard` first.
 */
export type Novelty = 'all-new' | 'some-new' | 'unheard';

/** Inserts the results, if the lease is held. The first result of a position stands. */
const insertResults = (
  { jobId }: LeaseRef,
  recorded: RecordedResults,
  novelty: Novelty,
): Prisma.Sql => Prisma.sql`
  INSERT INTO job_results (job_id, index, success, result, attempts, error, task)
  SELECT ${jobId}::uuid, done.position, done.error IS NULL, done.result, ${recorded.attempts}::smallint,
         done.error, done.task
    FROM lease CROSS JOIN (
      SELECT (${arrayText(recorded.positions)}::int[])[n] AS position, result, NULL::text AS error, NULL::json AS task
        FROM json_array_elements(${recorded.results}::json) WITH ORDINALITY AS e (result, n)
      UNION ALL
      SELECT (f ->> 'position')::int, f -> 'result', f ->> 'error', f -> 'task'
        FROM json_array_elements(${recorded.failures}::json) AS f
    ) AS done
  ${novelty === 'unheard' ? Prisma.empty : Prisma.sql`ON CONFLICT (job_id, index) DO NOTHING`}
  RETURNING success`;

/** An array of numbers as Postgres reads it. The driver would quote and escape each of them. */
const arrayText = (numbers: readonly (number | bigint)[]): string => `{${numbers.join(',')}}`;

const COUNTED = Prisma.sql`SELECT count(*)::int AS n, count(*) FILTER (WHERE NOT success)::int AS failed FROM recorded`;

/** Adds what was counted to the job, if the lease is held: `hit` jobs. It reads from the INSERT, and so its row is locked last. */
const advanceJob = ({ jobId }: LeaseRef, recorded: RecordedResults): Prisma.Sql => Prisma.sql`
  SELECT advance_jobs(ARRAY[${jobId}::uuid], ARRAY[counted.n], ARRAY[counted.failed], ARRAY[lease.leased_at],
                      ARRAY[${recorded.message}::text]) AS hit
    FROM counted, lease`;

const fence = (recorded: RecordedResults, novelty: Novelty): Prisma.Sql => Prisma.sql`
  require_lease((SELECT hit FROM job) = 1
    ${novelty === 'all-new' ? Prisma.sql`AND (SELECT n FROM counted) = ${recorded.count}` : Prisma.empty})::text AS held`;

/** Adds results and extends the lease; the chunk stays. */
export const flushSql = (
  ref: LeaseRef,
  recorded: RecordedResults,
  leaseMs: number,
  novelty: Novelty = 'some-new',
): Prisma.Sql => Prisma.sql`
  WITH lease AS (
    SELECT leased_at FROM task_chunks
     WHERE job_id = ${ref.jobId}::uuid AND id = ${ref.chunkId} AND lease_id = ${ref.leaseId}::uuid FOR UPDATE
  ), recorded AS (${insertResults(ref, recorded, novelty)}
  ), counted AS (${COUNTED}
  ), chunk AS (
    UPDATE task_chunks c
       SET recorded = c.recorded + counted.n,
           suspect = c.suspect AND counted.n = 0,
           lease_expires_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond'
      FROM counted
     WHERE c.job_id = ${ref.jobId}::uuid AND c.id = ${ref.chunkId} AND c.lease_id = ${ref.leaseId}::uuid
  ), job AS (${advanceJob(ref, recorded)}
  )
  SELECT ${fence(recorded, novelty)}`;

/**
 * Records the last results of the chunk, removes it, and puts what is still to be done into its successors: retries, and
 * tasks handed back. They appear in the commit in which the chunk goes, so a position without a result is always in
 * exactly one chunk.
 */
export const finishSql = (
  ref: LeaseRef,
  recorded: RecordedResults,
  successors: readonly Successor[],
  novelty: Novelty = 'some-new',
): Prisma.Sql => Prisma.sql`
  WITH lease AS (
    DELETE FROM task_chunks
     WHERE job_id = ${ref.jobId}::uuid AND id = ${ref.chunkId} AND lease_id = ${ref.leaseId}::uuid
    RETURNING leased_at, lease_id, lease_expires_at, worker, slots, alone, survived, account_id, type, priority
  ), recorded AS (${insertResults(ref, recorded, novelty)}
  ), counted AS (${COUNTED}
  ), successors AS (${insertSuccessors(ref, successors)}
  ), job AS (${advanceJob(ref, recorded)}
  )
  SELECT ${fence(recorded, novelty)}, (SELECT max(id) FROM successors WHERE state = 'leased') AS kept`;

/** Chunks of one job of which nothing is left, and their last results. */
export interface JobEnds {
  readonly refs: readonly LeaseRef[];
  readonly recorded: RecordedResults;
}

/**
 * Records the last results of several chunks, of which nothing is left, and removes them: one commit, and one turn at each job's row.
 * When one of the leases is lost, or one of several jobs has its row locked, nothing of any of them stands.
 * @param jobs whose tasks have had as many attempts
 */
export const finishAllSql = (jobs: readonly JobEnds[]): Prisma.Sql => {
  const refs = jobs.flatMap((job) => job.refs);
  const recorded = jobs.map((job) => job.recorded);
  /** For each of the things of a job, which job it is, from 1. */
  const owners = (things: (job: JobEnds) => readonly unknown[]) =>
    arrayText(jobs.flatMap((job, n) => things(job).map(() => n + 1)));
  return Prisma.sql`
    SELECT finish_chunks(
      ${jobs.map((job) => job.refs[0]?.jobId)}::uuid[], ${recorded.map(({ message }) => message)}::text[],
      ${owners((job) => job.refs)}::int[], ${arrayText(refs.map((ref) => ref.chunkId))}::bigint[],
      ${refs.map((ref) => ref.leaseId)}::uuid[],
      ${jobs.length === 1 ? null : owners((job) => job.recorded.positions)}::int[],
      ${arrayText(recorded.flatMap(({ positions }) => positions))}::int[],
      ${joinArrays(recorded.map(({ results }) => results))}::json,
      ${`[${recorded.map(({ failures }) => failures).join(',')}]`}::json, ${recorded[0]?.attempts}::smallint)::text`;
};

const insertSuccessors = (ref: LeaseRef, successors: readonly Successor[]): Prisma.Sql => Prisma.sql`
  INSERT INTO task_chunks
    (job_id, account_id, type, priority, first_position, size, positions, tasks, attempt, suspect, crashes, survived,
     state, visible_at, lease_id, leased_at, lease_expires_at, worker, slots, alone)
  SELECT ${ref.jobId}::uuid, lease.account_id, lease.type, lease.priority, s.positions[1], cardinality(s.positions),
         s.positions, s.tasks, s.attempt, s.suspect, s.crashes, greatest(s.survived, least(s.crashes, lease.survived)),
         CASE WHEN s."keepsLease" THEN 'leased' WHEN s."delayMs" > 0 THEN 'waiting' ELSE 'ready' END,
         CASE WHEN s."delayMs" > 0 THEN clock_timestamp() + s."delayMs" * interval '1 millisecond' END,
         CASE WHEN s."keepsLease" THEN lease.lease_id END, CASE WHEN s."keepsLease" THEN lease.leased_at END,
         CASE WHEN s."keepsLease" THEN lease.lease_expires_at END, CASE WHEN s."keepsLease" THEN lease.worker END,
         CASE WHEN s."keepsLease" THEN least(lease.slots, cardinality(s.positions)) END,
         s."keepsLease" IS TRUE AND s.suspect AND lease.alone
    FROM lease, json_to_recordset(${JSON.stringify(successors)}::json)
      AS s (positions int[], tasks json, attempt smallint, suspect boolean, crashes smallint, survived smallint,
            "delayMs" int, "keepsLease" boolean)
  RETURNING id, state`;
