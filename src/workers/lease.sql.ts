import { Prisma } from '../database/generated/client.js';
import type { Submission, SubmittedChunk } from '../jobs/eager-starts.js';
import type { LeaseRef } from './record.sql.js';
import type { Suspicion } from './suspicion.js';

/** A chunk that this process holds, with what it must know of its job. */
export interface Lease extends LeaseRef, Suspicion {
  readonly accountId: number;
  readonly type: string;
  readonly firstPosition: number;
  readonly size: number;
  /** Empty: consecutive from firstPosition. */
  readonly positions: readonly number[];
  /** JSON array text. */
  readonly tasks: string;
  /** How often the tasks have failed before. */
  readonly attempt: number;
  /** Tasks of it that may run at once. */
  readonly slots: number;
  /** Nothing else may run in the process, and nothing does. */
  readonly alone: boolean;
  /** Positions that already have a result, from an earlier lease. */
  readonly recorded: number;
  readonly maxAttempts: number;
  readonly taskTimeoutSeconds: number;
  readonly started: boolean;
  /** Two tasks of the job concern the same thing: they must take effect one after the other. */
  readonly ordered: boolean;
}

/** The columns of a Lease, of a chunk `c` of a job `j`. */
export const LEASE_COLUMNS = Prisma.sql`
  c.job_id::text AS "jobId", c.id AS "chunkId", c.lease_id::text AS "leaseId", c.account_id AS "accountId",
  c.type, c.first_position AS "firstPosition", c.size, c.positions, c.tasks::text AS tasks, c.attempt::int AS attempt,
  c.suspect, c.crashes::int AS crashes, c.survived::int AS survived, c.alone, c.slots, c.recorded,
  j.max_attempts::int AS "maxAttempts", j.task_timeout_seconds AS "taskTimeoutSeconds",
  j.started_at IS NOT NULL AS started, j.ordered`;

/** Which chunks `c` of a job `j` may be claimed; of a job whose tasks have an order, the first one there is. */
export const CLAIMABLE = Prisma.sql`
  c.state = 'ready' AND j.status = 'working' AND NOT j.paused
  AND (NOT j.ordered OR c.first_position = (SELECT min(first_position) FROM task_chunks WHERE job_id = j.id))`;

/** What makes a ready chunk a leased one. */
export const leased = (worker: string, leaseMs: number, slots: Prisma.Sql): Prisma.Sql => Prisma.sql`
  state = 'leased', lease_id = gen_random_uuid(), worker = ${worker}, leased_at = clock_timestamp(),
  lease_expires_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond',
  slots = ${slots}`;

/** What makes a leased chunk a ready one. */
export const GIVEN_UP = Prisma.sql`
  state = 'ready', lease_id = NULL, leased_at = NULL, lease_expires_at = NULL, worker = NULL, alone = false,
  slots = NULL, ready_at = clock_timestamp()`;

/** The lease of a chunk that has been inserted with it. */
export const firstLease = (
  job: Submission,
  { firstPosition, size, tasks }: SubmittedChunk,
  chunkId: bigint,
  leaseId: string,
  slots: number,
): Lease => ({
  ...{ jobId: job.id, chunkId, leaseId, accountId: job.accountId, type: job.type },
  ...{ firstPosition, size, positions: [], tasks: tasks.toString(), attempt: 0, recorded: 0, slots },
  ...{ suspect: false, crashes: 0, survived: 0, alone: false },
  maxAttempts: job.options.max_attempts,
  taskTimeoutSeconds: job.options.task_timeout,
  started: false,
  ordered: job.ordered,
});
