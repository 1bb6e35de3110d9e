import { Injectable } from '@nestjs/common';
import { Prisma } from '../database/generated/client.js';
import { PrismaService } from '../database/prisma.service.js';
import type { CutChunk } from './chunk-cutter.js';
import { READY_CHANNEL } from './job.store.js';
import {
  newJobSql,
  outcomeOf,
  outcomeSql,
  type NewJob,
  type SubmissionOutcome,
  type SubmissionRow,
} from './submission.sql.js';

/** Chunks removed in one transaction, at most: 64 MiB of them. */
const REMOVED_AT_ONCE = 64;

/** What the chunks of an upload say of their job. */
export type UploadedJob = Pick<NewJob, 'id' | 'accountId' | 'type'> & { readonly priority: number };

/**
 * Submissions that are streamed. The chunks are written under a lease as they come, as `uploading`, which neither claims nor
 * sweeps nor readers look at, and the job's row is added when all are there. A lease that has run out is never renewed, so
 * what belongs to it may be removed by anyone, while that of a live upload in another process may not.
 *
 * They are made ready by an UPDATE: their tasks lie out of line, so it writes 100 bytes a chunk, whereas to move them from a
 * table of their own would write them all again.
 */
@Injectable()
export class UploadStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * Begins one, unless the account has no room for another job already; `seal` asks again, and that counts.
   * @returns the jobs that take the room; null: it has begun
   */
  async open(job: UploadedJob, maxWorkingJobs: number, leaseMs: number): Promise<readonly string[] | null> {
    const [row] = await this.prisma.$queryRaw<{ working: string[] }[]>`
      WITH working AS MATERIALIZED (
        SELECT ARRAY(SELECT id::text FROM job_statuses WHERE account_id = ${job.accountId} AND status = 'working'
                      ORDER BY id LIMIT ${maxWorkingJobs}) AS ids
      ), upload AS (
        INSERT INTO job_uploads (job_id, account_id, lease_expires_at)
        SELECT ${job.id}::uuid, ${job.accountId}::int, clock_timestamp() + ${leaseMs} * interval '1 millisecond'
          FROM working WHERE cardinality(ids) < ${maxWorkingJobs}
      )
      SELECT ids AS working FROM working`;
    const working = row?.working ?? [];
    return working.length >= maxWorkingJobs ? working : null;
  }

  /** Writes chunks and renews the lease. @returns false: the lease has run out, and nothing was written */
  async append(job: UploadedJob, chunks: readonly CutChunk[], leaseMs: number): Promise<boolean> {
    const values: unknown[] = [job.id, leaseMs, job.accountId, job.type, job.priority];
    const rows = chunks.map(({ firstPosition, size, tasks }) => {
      const n = values.push(firstPosition, size, tasks);
      return `($${n - 2}::int, $${n - 1}::int, $${n}::json)`;
    });
    const written = await this.prisma.send(
      `WITH upload AS (
        UPDATE job_uploads SET lease_expires_at = clock_timestamp() + $2::int * interval '1 millisecond'
         WHERE job_id = $1::uuid AND lease_expires_at > clock_timestamp()
        RETURNING job_id
      )
      INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks, state)
      SELECT upload.job_id, $3::int, $4, $5::smallint, chunk.*, 'uploading'
        FROM upload, (VALUES ${rows.join(', ')}) AS chunk (first_position, size, tasks)
       ORDER BY chunk.first_position`,
      values,
    );
    return written === chunks.length;
  }

  /** While the client is slow. Does nothing when the lease has run out. */
  async renew(jobId: string, leaseMs: number): Promise<void> {
    await this.prisma.$executeRaw`
      UPDATE job_uploads SET lease_expires_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond'
       WHERE job_id = ${jobId}::uuid AND lease_expires_at > clock_timestamp()`;
  }

  /**
   * Makes the upload a job, in one statement: if its lease still runs and what lies there is what was written.
   * @param chunks how many were written
   */
  async seal(job: NewJob, chunks: number): Promise<SubmissionOutcome> {
    const provided = Prisma.sql`
      EXISTS (SELECT FROM upload)
      AND (SELECT count(*) = ${chunks} AND sum(size) = ${job.total} FROM task_chunks
            WHERE job_id = ${job.id}::uuid AND state = 'uploading')`;
    const [row] = await this.prisma.$queryRaw<SubmissionRow[]>`
      WITH upload AS MATERIALIZED (
        SELECT 1 FROM job_uploads WHERE job_id = ${job.id}::uuid AND lease_expires_at > clock_timestamp() FOR UPDATE
      ), ${newJobSql(job, provided)}, chunks AS (
        UPDATE task_chunks
           SET state = CASE WHEN start_at IS NULL THEN 'ready' ELSE 'waiting' END, visible_at = start_at,
               ready_at = clock_timestamp()
          FROM job WHERE job_id = job.id AND state = 'uploading'
      ), sealed AS (
        DELETE FROM job_uploads USING job WHERE job_id = job.id
      )
      ${outcomeSql(READY_CHANNEL)} FROM room`;
    return outcomeOf(row, job.maxWorkingJobs);
  }

  /** Removes an upload that will not be sealed, and all that was written. Of one that was sealed it removes nothing. */
  async abandon(jobId: string): Promise<void> {
    await this.prisma.$executeRaw`
      UPDATE job_uploads SET lease_expires_at = '-infinity' WHERE job_id = ${jobId}::uuid`;
    while (await this.#removeSome(jobId));
  }

  /**
   * Removes some of what is left of an upload whose lease has run out: its process has died. The lease is ended for good
   * first, lest a renewal that waits for this commit bring it back.
   * @returns whether there may be more
   */
  async removeExpired(): Promise<boolean> {
    const [upload] = await this.prisma.$queryRaw<{ id: string }[]>`
      UPDATE job_uploads SET lease_expires_at = '-infinity'
       WHERE job_id IN (SELECT job_id FROM job_uploads WHERE lease_expires_at <= clock_timestamp()
                         LIMIT 1 FOR UPDATE SKIP LOCKED)
      RETURNING job_id::text AS id`;
    if (!upload) return false;
    await this.#removeSome(upload.id);
    return true;
  }

  /** @returns whether there may be more */
  async #removeSome(jobId: string): Promise<boolean> {
    const removed = await this.prisma.$executeRaw`
      DELETE FROM task_chunks WHERE job_id = ${jobId}::uuid
         AND id IN (SELECT id FROM task_chunks WHERE job_id = ${jobId}::uuid AND state = 'uploading'
                     ORDER BY id LIMIT ${REMOVED_AT_ONCE} FOR UPDATE SKIP LOCKED)`;
    if (removed === REMOVED_AT_ONCE) return true;
    await this.prisma.$executeRaw`
      DELETE FROM job_uploads WHERE job_id = ${jobId}::uuid AND lease_expires_at = '-infinity'
         AND NOT EXISTS (SELECT FROM task_chunks WHERE job_id = ${jobId}::uuid AND state = 'uploading')`;
    return false;
  }
}
