import { Prisma } from '../database/generated/client.js';
import { LEASE_COLUMNS } from './lease.sql.js';

/** A task type that may be claimed, and what a chunk of it takes up. */
export interface ClaimedType {
  readonly type: string;
  /** Places that a task counts for. */
  readonly taskPlaces: number;
  /** Whether a whole chunk counts for one place, however many tasks it has: one call runs many of them. */
  readonly isWhole: boolean;
  /** Whether a chunk takes a lane as well. */
  readonly takesLane: boolean;
  /** Tasks of a chunk that this process would run at once. */
  readonly atOnce: number;
  /** Tasks of the type that may run at once, over all processes; null: any number. */
  readonly limit: number | null;
}

export interface ClaimRequest {
  /** Who asks, for people to read. */
  readonly worker: string;
  readonly types: readonly ClaimedType[];
  /** Places to fill: chunks are taken until they do. */
  readonly places: number;
  readonly lanes: number;
  /** Chunks to take, at most. */
  readonly chunks: number;
  readonly leaseMs: number;
  /** Tasks of an account that may run at once, over all processes; null: any number. */
  readonly accountLimit: number | null;
}

type Limits = Pick<ClaimRequest, 'accountLimit'> & { readonly types: readonly Pick<ClaimedType, 'limit'>[] };

/** Whether anything that is asked for has a limit. */
export const isLimited = ({ types, accountLimit }: Limits): boolean =>
  accountLimit !== null || types.some(({ limit }) => limit !== null);

/**
 * What claims with limits hold while they count, to their commit: two that counted at once would both take the last slot.
 * A statement of its own, so that the one that counts has a snapshot from after the wait.
 */
export const COUNT_LOCK = Prisma.sql`SELECT pg_advisory_xact_lock(7412)::text`;

/** The CTE `busy`: the slots that are taken, by type and account. There are as many leases as workers hold, not more. */
export const busySql = (limited: boolean): Prisma.Sql => Prisma.sql`
  busy AS MATERIALIZED (
    SELECT type, account_id, sum(slots) AS slots FROM task_chunks WHERE state = 'leased' AND ${limited}
     GROUP BY type, account_id
  )`;

/**
 * A claim is not waited for until it is on disk (synchronous_commit, for this transaction alone): when Postgres crashes before, nobody
 * has the chunk, and what the worker records for its lease is refused, as with any lease that was lost. A record is on disk before
 * anybody hears of it, and with it the claim.
 */
const UNHURRIED = Prisma.sql`set_config('synchronous_commit', 'off', true) AS unhurried`;

/**
 * Leases chunks until their tasks fill the places: the account whose turn it is, then priority, age of the job, position. How, and
 * why in a function, is said where it is made (prisma/migrations/20261125120000_claims).
 *
 * Turns cost nothing where one account is alone; measured for 100,000 no-op tasks, see docs/performance.md.
 */
export function claimSql(request: ClaimRequest): Prisma.Sql {
  const { types } = request;
  return Prisma.sql`
    SELECT candidates, suspects, ${UNHURRIED}, ${LEASE_COLUMNS}
      FROM lease_chunks(
             ${types.map((t) => t.type)}::text[], ${types.map((t) => t.takesLane)}::boolean[],
             ${types.map((t) => t.isWhole)}::boolean[], ${types.map((t) => t.taskPlaces)}::float8[],
             ${types.map((t) => t.atOnce)}::int[], ${types.map((t) => t.limit)}::int[], ${request.accountLimit}::int,
             ${request.places}::float8, ${request.lanes}::int, ${request.chunks}::int, ${request.leaseMs}::int, ${request.worker}
           ) AS c CROSS JOIN LATERAL (SELECT c.max_attempts, c.task_timeout_seconds, c.started_at, c.ordered) AS j`;
}
