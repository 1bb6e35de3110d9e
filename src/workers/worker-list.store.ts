import { Injectable } from '@nestjs/common';
import { PrismaService } from '../database/prisma.service.js';
import { WORKER_SILENCE_SECONDS } from '../jobs/job.store.js';

/** Workers in a list, at most; a process that has said nothing for a minute is no longer in the table. */
export const WORKERS_MAX = 1_000;
/** Leases of a worker in a list, at most. */
export const LEASES_MAX = 100;

export interface WorkerRow {
  readonly name: string;
  readonly types: readonly string[];
  readonly concurrency: number;
  readonly startedAt: Date;
  readonly seenAt: Date;
  readonly alive: boolean;
  readonly running: readonly LeaseRow[];
}

/** Times as Postgres prints them in JSON. */
export interface LeaseRow {
  readonly jobId: string;
  readonly jobName: string | null;
  readonly type: string;
  readonly tasks: number;
  readonly firstIndex: number;
  readonly leasedAt: string;
  readonly leaseExpiresAt: string;
}

/** Reads who works, for people. */
@Injectable()
export class WorkerListStore {
  constructor(private readonly prisma: PrismaService) {}

  /** The workers of all accounts, the longest at work first, each with what it holds of this account. */
  list(accountId: number): Promise<WorkerRow[]> {
    return this.prisma.$queryRaw<WorkerRow[]>`
      WITH held AS (
        SELECT c.*, j.name AS job_name, row_number() OVER (PARTITION BY c.worker ORDER BY c.leased_at, c.job_id, c.id) AS nth
          FROM task_chunks c JOIN job_statuses j ON j.id = c.job_id
         WHERE c.state = 'leased' AND c.account_id = ${accountId}
      )
      SELECT w.name, w.types, w.concurrency, w.started_at AS "startedAt", w.seen_at AS "seenAt",
             w.seen_at > clock_timestamp() - ${WORKER_SILENCE_SECONDS} * interval '1 second' AS alive,
             coalesce((
               SELECT json_agg(json_build_object(
                        'jobId', job_id, 'jobName', job_name, 'type', type, 'tasks', size - recorded,
                        'firstIndex', first_position, 'leasedAt', leased_at, 'leaseExpiresAt', lease_expires_at) ORDER BY nth)
                 FROM held WHERE held.worker = w.name AND nth <= ${LEASES_MAX}), '[]') AS running
        FROM workers w ORDER BY w.started_at, w.name LIMIT ${WORKERS_MAX}`;
  }
}
