import { Injectable } from '@nestjs/common';
import { Prisma } from '../database/generated/client.js';
import { PrismaService } from '../database/prisma.service.js';

/** Jobs, results and chunks that one statement removes, at most. A chunk has up to 1 MiB of tasks. */
export const JOBS_AT_ONCE = 100;
export const RESULTS_AT_ONCE = 2_000;
export const CHUNKS_AT_ONCE = 16;

const DUTY = 'retention';

/** Jobs that are removed longer after their time than this are late. */
const LATE_HOURS = 1;

export interface Expired {
  readonly jobs: number;
  /** Whether the removal does not keep up. */
  readonly isLate: boolean;
}

/**
 * Removes what nobody may ask for any more: ended jobs whose time is over, and what deleted and expired jobs leave behind.
 * The job goes first, and in a later commit its results and chunks, or a poll would see a progress that its results do not
 * bear out. One process at a time does it: each statement restates, and renews, that the duty is held.
 *
 * A process that dies in the middle loses nothing: how far it came is in the database, by the commit that removed the rows.
 */
@Injectable()
export class RetentionStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * Whether there is anything to remove, and nobody else at it; a read alone, since it is asked twice a second.
   * @param hours that an ended job is kept
   */
  async isWanted(holder: string, hours: number): Promise<boolean> {
    const [row] = await this.prisma.$queryRaw<{ wanted: boolean }[]>`
      SELECT (EXISTS (SELECT FROM deleted_jobs) OR EXISTS (SELECT FROM job_statuses WHERE ${isExpired(hours)}))
             AND NOT EXISTS (SELECT FROM duties WHERE name = ${DUTY} AND holder <> ${holder}
                                AND lease_expires_at > clock_timestamp()) AS wanted`;
    return row?.wanted ?? false;
  }

  /** @returns whether the duty is this process's now: it was free, its own, or of one that has not renewed it */
  async take(holder: string, leaseMs: number): Promise<boolean> {
    const taken = await this.prisma.$executeRaw`
      INSERT INTO duties (name, holder, lease_expires_at) VALUES (${DUTY}, ${holder}, ${leaseEnd(leaseMs)})
      ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_expires_at = excluded.lease_expires_at
       WHERE duties.holder = excluded.holder OR duties.lease_expires_at <= clock_timestamp()`;
    return taken === 1;
  }

  /** Gives the duty back, so that another process need not wait for the end of the lease. */
  async leave(holder: string): Promise<void> {
    await this.prisma.$executeRaw`DELETE FROM duties WHERE name = ${DUTY} AND holder = ${holder}`;
  }

  /** Removes ended jobs whose time is over, the oldest first. From its commit on they are not there for anyone. */
  async expire(holder: string, leaseMs: number, hours: number): Promise<Expired> {
    const [expired] = await this.prisma.$queryRaw<Expired[]>`
      WITH ${held(holder, leaseMs)}, job AS (
        DELETE FROM job_statuses
         WHERE EXISTS (SELECT FROM held) AND status <> 'working'
           AND id IN (SELECT id FROM job_statuses WHERE ${isExpired(hours)}
                       ORDER BY finished_at LIMIT ${JOBS_AT_ONCE} FOR UPDATE SKIP LOCKED)
        RETURNING id, finished_at
      ), noted AS (
        INSERT INTO deleted_jobs (job_id) SELECT id FROM job
      )
      SELECT count(*)::int AS jobs, count(*) FILTER (WHERE ${isExpired(hours + LATE_HOURS)}) > 0 AS "isLate" FROM job`;
    return expired ?? { jobs: 0, isLate: false };
  }

  /** Removes some of what deleted and expired jobs have left. @returns whether there may be more */
  async purge(holder: string, leaseMs: number): Promise<boolean> {
    if ((await this.#removeResults(holder, leaseMs)) > 0) return true;
    if ((await this.#removeChunks(holder, leaseMs)) > 0) return true;
    return (await this.#forget(holder, leaseMs)) > 0;
  }

  /**
   * Small jobs together, large ones in parts. Rows are named by their place: a result never moves, and this is half the work
   * of finding each by its key again. @returns jobs of which something was removed
   */
  async #removeResults(holder: string, leaseMs: number): Promise<number> {
    return this.prisma.$executeRaw`
      WITH ${held(holder, leaseMs)}, ${SOME_JOBS}, result AS MATERIALIZED (
        SELECT r.ctid AS place, job.job_id, r.index
          FROM job CROSS JOIN LATERAL (
            SELECT ctid, index FROM job_results WHERE job_id = job.job_id AND index >= job.removed_below
             ORDER BY index LIMIT ${RESULTS_AT_ONCE}) r
         LIMIT ${RESULTS_AT_ONCE}
      ), removed AS (
        DELETE FROM job_results WHERE ctid = ANY(ARRAY(SELECT place FROM result))
      )
      UPDATE deleted_jobs d SET removed_below = last.index + 1
        FROM (SELECT job_id, max(index) AS index FROM result GROUP BY job_id) AS last
       WHERE d.job_id = last.job_id`;
  }

  async #removeChunks(holder: string, leaseMs: number): Promise<number> {
    return this.prisma.$executeRaw`
      WITH ${held(holder, leaseMs)}, ${SOME_JOBS}
      DELETE FROM task_chunks
       WHERE (job_id, id) IN (SELECT c.job_id, c.id FROM job JOIN task_chunks c USING (job_id) LIMIT ${CHUNKS_AT_ONCE})`;
  }

  /** Of jobs that have left nothing. */
  async #forget(holder: string, leaseMs: number): Promise<number> {
    return this.prisma.$executeRaw`
      WITH ${held(holder, leaseMs)}, ${SOME_JOBS}
      DELETE FROM deleted_jobs d USING job
       WHERE d.job_id = job.job_id
         AND NOT EXISTS (SELECT FROM job_results r WHERE r.job_id = d.job_id AND r.index >= d.removed_below)
         AND NOT EXISTS (SELECT FROM task_chunks c WHERE c.job_id = d.job_id)`;
  }
}

/**
 * The moment is a subquery of its own: the bare clock is volatile, so every ended job would be compared with it. Of 300,000
 * ended jobs the look takes 0.04 ms so.
 */
const isExpired = (hours: number): Prisma.Sql =>
  Prisma.sql`finished_at <= (SELECT clock_timestamp() - ${hours}::int * interval '1 hour')`;

const leaseEnd = (leaseMs: number): Prisma.Sql =>
  Prisma.sql`clock_timestamp() + ${leaseMs} * interval '1 millisecond'`;

/** The CTE `held`: one row, and the lease renewed, if this process has the duty. */
const held = (holder: string, leaseMs: number): Prisma.Sql => Prisma.sql`
  held AS MATERIALIZED (
    UPDATE duties SET lease_expires_at = ${leaseEnd(leaseMs)}
     WHERE name = ${DUTY} AND holder = ${holder} AND lease_expires_at > clock_timestamp()
    RETURNING 1)`;

/** The CTE `job`: those whose remains go next; none when the duty is another's. */
const SOME_JOBS = Prisma.sql`
  job AS MATERIALIZED (
    SELECT job_id, removed_below FROM deleted_jobs WHERE EXISTS (SELECT FROM held)
     ORDER BY job_id LIMIT ${JOBS_AT_ONCE})`;
