import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import pg from 'pg';
import { DATABASE_URL } from '../database/prisma.service.js';
import type { JobState } from '../jobs/job.js';
import type { LeaseRef } from './record.sql.js';

/** What has become of a lease: whether it is still ours, and the state of its job. */
export interface LeaseState {
  readonly leaseId: string;
  readonly held: boolean;
  readonly status: JobState | null;
  readonly paused: boolean | null;
}

/** What a worker says of itself. */
export interface WorkerSelf {
  readonly name: string;
  readonly types: readonly string[];
  readonly concurrency: number;
}

/** The heartbeat, on a connection of its own: a handler's long transaction or a full pool must not starve it. */
@Injectable()
export class HeartbeatStore implements OnModuleDestroy {
  readonly #pool: pg.Pool;

  constructor(@Inject(DATABASE_URL) url: string) {
    this.#pool = new pg.Pool({
      connectionString: url,
      max: 1,
      application_name: 'tally-heartbeat',
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
      keepAlive: true,
    });
    this.#pool.on('error', () => undefined);
  }

  /**
   * Extends the leases that are still held. Rows that a record has locked are skipped: it extends or ends them itself,
   * and waiting for it in another order than its own would be a deadlock.
   */
  async extend(refs: readonly LeaseRef[], leaseMs: number): Promise<void> {
    await this.#pool.query(
      `UPDATE task_chunks SET lease_expires_at = clock_timestamp() + $4 * interval '1 millisecond'
        WHERE (job_id, id) IN (
          SELECT c.job_id, c.id FROM task_chunks c
            JOIN unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS held (job_id, id, lease_id) USING (job_id, id, lease_id)
            FOR UPDATE OF c SKIP LOCKED)`,
      [...columns(refs), leaseMs],
    );
  }

  /** Reads what has become of the leases and their jobs: a lost lease or an ended job aborts the handlers. */
  async watch(refs: readonly LeaseRef[]): Promise<LeaseState[]> {
    const { rows } = await this.#pool.query<LeaseState>(
      `SELECT held.lease_id::text AS "leaseId", c.id IS NOT NULL AS held, j.status, j.paused
         FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS held (job_id, id, lease_id)
         LEFT JOIN task_chunks c USING (job_id, id, lease_id)
         LEFT JOIN job_statuses j ON j.id = held.job_id`,
      columns(refs),
    );
    return rows;
  }

  /** Says that this worker is alive, and forgets those that have long been silent. */
  async announce(self: WorkerSelf): Promise<void> {
    await this.#pool.query(
      `WITH gone AS (DELETE FROM workers WHERE seen_at < clock_timestamp() - interval '1 minute' AND name <> $1)
       INSERT INTO workers (name, types, concurrency) VALUES ($1, $2::text[], $3)
       ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp()`,
      [self.name, self.types, self.concurrency],
    );
  }

  /** The worker stops. */
  async leave(name: string): Promise<void> {
    await this.#pool.query('DELETE FROM workers WHERE name = $1', [name]);
  }

  async onModuleDestroy(): Promise<void> {
    await this.#pool.end();
  }
}

const columns = (refs: readonly LeaseRef[]): [string[], string[], string[]] => [
  refs.map((ref) => ref.jobId),
  refs.map((ref) => String(ref.chunkId)),
  refs.map((ref) => ref.leaseId),
];
