import { Injectable } from '@nestjs/common';
import { Prisma } from '../database/generated/client.js';
import { PrismaService } from '../database/prisma.service.js';
import { endMessage } from './end-message.sql.js';
import {
  FEWEST_CHUNKS,
  MAX_CHUNK_BYTES,
  MAX_CHUNK_TASKS,
  MIN_CHUNK_TASKS,
  newJobId,
  SMALL_JOB,
  type JobState,
} from './job.js';
import { READY_CHANNEL } from './job.store.js';

/** The channel on which workers hear that a job was ended or paused by somebody else; the payload is its id. */
export const CHANGED_CHANNEL = 'tally_changed';

/** What is known of a job before something is done to it. */
export interface JobStanding {
  readonly status: JobState;
  readonly failed: number;
  readonly total: number;
  readonly createdBy: number;
}

/**
 * What people and the clock do to jobs. Each changes the job's row only, by one statement that restates that the job works:
 * did it touch the chunks too, a record that it cannot see would put a retry into a job that is over. The chunks of a job
 * that does not run are taken out of the ready set afterwards, by `park`.
 */
@Injectable()
export class JobControlStore {
  constructor(private readonly prisma: PrismaService) {}

  /** @returns null when the account has no such job */
  async standing(accountId: number, id: string): Promise<JobStanding | null> {
    return this.prisma.jobStatus.findUnique({
      where: { id, accountId },
      select: { status: true, failed: true, total: true, createdBy: true },
    }) as Promise<JobStanding | null>;
  }

  /** @returns whether it was working and is killed now; no result is added after this commits */
  async kill(id: string): Promise<boolean> {
    const killed = await this.prisma.$queryRaw<object[]>`
      UPDATE job_statuses
         SET status = 'killed', finished_at = clock_timestamp(), message = ${endMessage('Killed')}, version = version + 1
       WHERE id = ${id}::uuid AND status = 'working'
      RETURNING pg_notify(${CHANGED_CHANNEL}, id::text)::text`;
    return killed.length === 1;
  }

  /** Ends the jobs whose deadline has passed. @returns their ids */
  async failOverdue(): Promise<string[]> {
    const failed = await this.prisma.$queryRaw<{ id: string }[]>`
      UPDATE job_statuses
         SET status = 'failed', finished_at = clock_timestamp(), version = version + 1,
             message = ${endMessage('Failed')} || ': the deadline has passed'
       WHERE id IN (SELECT id FROM job_statuses WHERE status = 'working' AND deadline <= clock_timestamp()
                     ORDER BY deadline LIMIT 100 FOR UPDATE SKIP LOCKED)
         AND status = 'working'
      RETURNING id::text, pg_notify(${CHANGED_CHANNEL}, id::text)::text`;
    return failed.map((job) => job.id);
  }

  /** @returns whether the job works; it is paused now, if it was not before */
  async pause(id: string): Promise<boolean> {
    const paused = await this.prisma.$queryRaw<object[]>`
      UPDATE job_statuses SET paused = true, version = version + CASE WHEN paused THEN 0 ELSE 1 END
       WHERE id = ${id}::uuid AND status = 'working'
      RETURNING pg_notify(${CHANGED_CHANNEL}, id::text)::text`;
    return paused.length === 1;
  }

  /** @returns whether the job works; it is not paused now */
  async resume(id: string): Promise<boolean> {
    const resumed = await this.prisma.$queryRaw<object[]>`
      UPDATE job_statuses SET paused = false, version = version + CASE WHEN paused THEN 1 ELSE 0 END
       WHERE id = ${id}::uuid AND status = 'working'
      RETURNING id`;
    return resumed.length === 1;
  }

  /**
   * Takes the ready and waiting chunks of jobs that are paused or over out of the ready set, and those of ended jobs from
   * whoever holds them. The job's row is locked as well, so that it is its newest state that decides; what is locked by a
   * record is left to the next call.
   * @param id one job; without it, all of which that may be true
   * @returns chunks parked
   */
  async park(id?: string): Promise<number> {
    const jobs = id
      ? Prisma.sql`id = ${id}::uuid`
      : Prisma.sql`(status = 'working' OR status IN ('killed', 'failed') AND finished_at > clock_timestamp() - interval '1 hour')`;
    return this.prisma.$executeRaw`
      UPDATE task_chunks
         SET state = 'parked', visible_at = NULL, lease_id = NULL, leased_at = NULL, lease_expires_at = NULL, worker = NULL,
             alone = false, slots = NULL
       WHERE (job_id, id) IN (
         SELECT c.job_id, c.id
           FROM (SELECT id FROM job_statuses WHERE ${jobs} AND (paused OR status <> 'working')) AS still
           JOIN job_statuses j USING (id) JOIN task_chunks c ON c.job_id = j.id
          WHERE (j.status <> 'working' AND c.state <> 'parked') OR (j.paused AND c.state = 'ready')
          LIMIT 10000 FOR UPDATE OF c SKIP LOCKED FOR SHARE OF j SKIP LOCKED)`;
  }

  /** Puts the parked chunks of jobs that run back into the ready set. @returns chunks made ready */
  async unpark(id?: string): Promise<number> {
    const unparked = await this.prisma.$executeRaw`
      UPDATE task_chunks SET state = 'ready', ready_at = clock_timestamp()
       WHERE (job_id, id) IN (
         SELECT c.job_id, c.id FROM job_statuses j JOIN task_chunks c ON c.job_id = j.id
          WHERE ${id ? Prisma.sql`j.id = ${id}::uuid AND` : Prisma.empty} j.status = 'working' AND NOT j.paused AND c.state = 'parked'
          LIMIT 10000 FOR UPDATE OF c SKIP LOCKED FOR SHARE OF j SKIP LOCKED)`;
    if (unparked > 0) await this.prisma.$queryRaw`SELECT pg_notify(${READY_CHANNEL}, '')::text`;
    return unparked;
  }

  /**
   * Makes a new job of every task of an ended one that did not succeed: the failed ones, and those that were never
   * processed. All of it in the database, so that a million tasks cost this process nothing. The key on retry_of makes it
   * one new job however many ask at once.
   * @returns the new job's id; null when every task has succeeded; the account's working jobs, when they leave no room
   */
  async retry(
    job: { readonly id: string; readonly accountId: number },
    createdBy: number,
    maxWorkingJobs: number,
  ): Promise<string | null | { readonly working: readonly string[] }> {
    const { id } = job;
    const newId = newJobId();
    const [row] = await this.prisma.$queryRaw<{ total: number; made: string | null; working: string[] }[]>`
      WITH room AS MATERIALIZED (
        SELECT take_room(${job.accountId}::int, ${maxWorkingJobs}::int, 1) AS working
      ), task AS MATERIALIZED (
        SELECT task, row_number() OVER (ORDER BY position) - 1 AS n,
               sum(octet_length(task::text)) OVER (ORDER BY position) / ${MAX_CHUNK_BYTES} AS part
          FROM (${unsuccessful(id)}) AS unsuccessful
      ), counted AS (
        SELECT count(*)::int AS total FROM task
      ), job AS (
        INSERT INTO job_statuses (id, account_id, created_by, type, name, metadata, priority, max_attempts,
                                  task_timeout_seconds, max_failures, ordered, retry_of, total)
        SELECT ${newId}::uuid, account_id, ${createdBy}, type, name, metadata, priority, max_attempts,
               task_timeout_seconds, max_failures, ordered, id, counted.total
          FROM job_statuses, counted, room
         WHERE id = ${id}::uuid AND status <> 'working' AND counted.total > 0
           AND cardinality(working) < ${maxWorkingJobs}::int
        ON CONFLICT (retry_of) DO NOTHING
        RETURNING id, account_id, type, priority, total
      ), chunks AS (
        INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks)
        SELECT job.id, job.account_id, job.type, job.priority, min(n), count(*),
               ('[' || string_agg(task::text, ',' ORDER BY n) || ']')::json
          FROM task, job, LATERAL (SELECT ${sizeOf(Prisma.sql`job.total`)} AS size) AS chunk
         GROUP BY job.id, job.account_id, job.type, job.priority, n / chunk.size, part
         ORDER BY min(n)
      ), callback AS (
        INSERT INTO job_callbacks (job_id, account_id, url, origin)
        SELECT job.id, job.account_id, url, origin FROM job, job_callbacks WHERE job_id = ${id}::uuid
      )
      SELECT counted.total, (SELECT id::text FROM job) AS made, working::text[] AS working,
             pg_notify(${READY_CHANNEL}, '')::text
        FROM counted, room`;
    if (!row || row.total === 0) return null;
    if (row.made !== null) return row.made;
    const first = await this.prisma.jobStatus.findUnique({ where: { retryOf: id }, select: { id: true } });
    if (first) return first.id;
    return row.working.length >= maxWorkingJobs ? { working: row.working } : null;
  }

  /**
   * Removes an ended job. The job goes first; its results follow in small transactions (`RetentionStore.purge`), or a poll
   * would see a progress that its results do not bear out.
   * @returns whether there was an ended job
   */
  async remove(id: string): Promise<boolean> {
    const removed = await this.prisma.$executeRaw`
      WITH job AS (DELETE FROM job_statuses WHERE id = ${id}::uuid AND status <> 'working' RETURNING id)
      INSERT INTO deleted_jobs (job_id) SELECT id FROM job`;
    return removed === 1;
  }
}

/** `position` and `task` of every task of the job that has no success: recorded as failed, or still in a chunk. */
const unsuccessful = (id: string): Prisma.Sql => Prisma.sql`
  SELECT index AS position, task FROM job_results WHERE job_id = ${id}::uuid AND NOT success
  UNION ALL
  SELECT left_over.position, left_over.task
    FROM (SELECT CASE WHEN cardinality(c.positions) > 0 THEN c.positions[e.n] ELSE c.first_position + e.n - 1 END AS position,
                 e.task
            FROM task_chunks c CROSS JOIN LATERAL json_array_elements(c.tasks) WITH ORDINALITY AS e (task, n)
           WHERE c.job_id = ${id}::uuid) AS left_over
   WHERE NOT EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = ${id}::uuid AND r.index = left_over.position)`;

/** chunkSize() of job.ts, in SQL. */
export const sizeOf = (total: Prisma.Sql): Prisma.Sql => Prisma.sql`
  least(${MAX_CHUNK_TASKS}::int, greatest(${MIN_CHUNK_TASKS}::int, ceil(
    CASE WHEN ${total} <= ${SMALL_JOB}::int THEN ${total} / ${FEWEST_CHUNKS}::float8
         ELSE ${SMALL_JOB / FEWEST_CHUNKS}::float8 * sqrt(${total} / ${SMALL_JOB}::float8) END)::int))`;
