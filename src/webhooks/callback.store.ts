import { Injectable } from '@nestjs/common';
import { PrismaService } from '../database/prisma.service.js';
import type { JobState } from '../jobs/job.js';

/**
 * A claim is over after this: longer than a request may take and its outcome to be written, so that only a process that died
 * or was cut off is tried after by another one.
 */
const LEASE_MS = 30_000;

/** A callback to deliver now, with the job as it ended. */
export interface DueCallback {
  readonly jobId: string;
  readonly accountId: number;
  readonly url: string;
  /** Where the submission reached the service; empty when nobody knows. */
  readonly origin: string;
  /** Which try this is, from 1: the mark of the claim. */
  readonly attempt: number;
  /** Postgres's clock, since a receiver refuses a signature whose time is far from its own. */
  readonly claimedAt: Date;
  readonly total: number;
  readonly progress: number;
  readonly status: JobState;
  readonly message: string | null;
  readonly version: number;
  readonly finishedAt: Date;
}

/** Which claim a write is on behalf of. */
export type ClaimRef = Pick<DueCallback, 'jobId' | 'attempt'>;

/** It was written; or the callback is not this claim's any more: another has claimed or delivered it, or the job is deleted. */
export type Written = 'written' | 'lost';

const written = (rows: number): Written => (rows === 1 ? 'written' : 'lost');

/** The only place that writes how far a callback has come. The end of its job makes it due, by a trigger. */
@Injectable()
export class CallbackStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * Takes the callbacks that have been due for the longest time, and moves them ahead, so that no other process takes them
   * before this one must have come to an end with them.
   *
   * `statement_timestamp()` where it is asked what is due: it is as good there, and unlike `clock_timestamp()` it can be
   * looked up in the index, which otherwise is walked to its end.
   * @param busyAccounts whose callbacks are left alone
   */
  async claim(places: number, busyAccounts: readonly number[]): Promise<DueCallback[]> {
    return this.prisma.$queryRaw<DueCallback[]>`
      WITH due AS (
        SELECT job_id FROM job_callbacks
         WHERE due_at <= statement_timestamp() AND account_id <> ALL(${busyAccounts}::int[])
         ORDER BY due_at LIMIT ${places} FOR UPDATE SKIP LOCKED
      ), claimed AS (
        UPDATE job_callbacks b
           SET attempts = b.attempts + 1, due_at = clock_timestamp() + ${LEASE_MS} * interval '1 millisecond'
          FROM due WHERE b.job_id = due.job_id
        RETURNING b.job_id, b.account_id, b.url, b.origin, b.attempts
      )
      SELECT j.id::text AS "jobId", claimed.account_id AS "accountId", claimed.url, claimed.origin,
             claimed.attempts AS attempt, clock_timestamp() AS "claimedAt", j.total, j.progress, j.status, j.message,
             j.version, j.finished_at AS "finishedAt"
        FROM claimed JOIN job_statuses j ON j.id = claimed.job_id`;
  }

  /** It was received: that is so whichever claim it was, also one that has run out. */
  async deliver({ jobId }: ClaimRef): Promise<Written> {
    return written(
      await this.prisma.$executeRaw`
        UPDATE job_callbacks SET state = 'delivered', due_at = NULL, last_error = NULL
         WHERE job_id = ${jobId}::uuid AND state = 'pending'`,
    );
  }

  async retryLater({ jobId, attempt }: ClaimRef, error: string, delayMs: number): Promise<Written> {
    return written(
      await this.prisma.$executeRaw`
        UPDATE job_callbacks
           SET due_at = clock_timestamp() + ${delayMs} * interval '1 millisecond', last_error = ${error}
         WHERE job_id = ${jobId}::uuid AND state = 'pending' AND attempts = ${attempt}`,
    );
  }

  async giveUp({ jobId, attempt }: ClaimRef, error: string): Promise<Written> {
    return written(
      await this.prisma.$executeRaw`
        UPDATE job_callbacks SET state = 'failed', due_at = NULL, last_error = ${error}
         WHERE job_id = ${jobId}::uuid AND state = 'pending' AND attempts = ${attempt}`,
    );
  }

  /** The request was cut off by the end of this process: another may try at once. */
  async handBack({ jobId, attempt }: ClaimRef): Promise<Written> {
    return written(
      await this.prisma.$executeRaw`
        UPDATE job_callbacks SET due_at = clock_timestamp()
         WHERE job_id = ${jobId}::uuid AND state = 'pending' AND attempts = ${attempt}`,
    );
  }
}
