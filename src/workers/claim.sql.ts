import { Prisma } from '../database/generated/client.js';
import { CLAIMABLE, LEASE_COLUMNS, leased } from './lease.sql.js';

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

/** Accounts that a claim looks at, of each type: those whose turn is next. */
const TURNS = 32;
/** Chunks that it looks at, at least so many of each account: more than it takes, since others may have their hands on some. */
const CANDIDATES = 64;
const CANDIDATES_EACH = 8;

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

/** The order in which a claim takes chunks: the account's turn, and within an account priority, age of the job, position. */
const ORDER = Prisma.sql`start, priority DESC, start + size, job_id, first_position, id`;

/**
 * Leases chunks until their tasks fill the places. Three steps that read without locks (`turn`: whose turn it is, an index
 * probe a type; `best`: their best chunks, a probe an account; `busy`: what the limits have left), one that locks, skipping
 * what others hold, and then the writes: chunks, then turns, then the virtual time.
 *
 * Each chunk starts where its account's place and the account's chunks before it put it, and the lowest start goes first.
 * Turns are written only where several accounts wait: one alone pays for none. Measured for 100,000 no-op tasks of one
 * account, see docs/performance.md.
 */
export function claimSql(request: ClaimRequest): Prisma.Sql {
  const { types } = request;
  const limited = isLimited(request);
  return Prisma.sql`
    WITH wanted AS MATERIALIZED (
      SELECT * FROM unnest(${types.map((t) => t.type)}::text[], ${types.map((t) => t.takesLane)}::boolean[],
                    ${types.map((t) => t.isWhole)}::boolean[], ${types.map((t) => t.taskPlaces)}::float8[],
                    ${types.map((t) => t.atOnce)}::int[], ${types.map((t) => t.limit)}::int[])
        AS wanted (type, lane, whole, task_places, at_once, type_limit)
    ), ${busySql(limited)}, turn AS MATERIALIZED (
      SELECT t.*, lane, whole, task_places, at_once,
             type_limit - coalesce((SELECT sum(slots) FROM busy b WHERE b.type = t.type), 0) AS type_left,
             ${request.accountLimit}::int
               - coalesce((SELECT sum(slots) FROM busy b WHERE b.account_id = t.account_id), 0) AS account_left,
             t.place - min(t.place) OVER (PARTITION BY t.type) AS lag, count(*) OVER (PARTITION BY t.type) AS turns
        FROM wanted CROSS JOIN LATERAL (
          SELECT type, account_id, place, woken FROM turns
           WHERE is_waiting AND turns.type = wanted.type ORDER BY place, account_id LIMIT ${TURNS}) AS t
    ), best AS MATERIALIZED (
      SELECT turn.*, c.job_id, c.id, c.priority, c.first_position, c.size, least(at_once, c.size) AS need,
             min(lag) OVER (PARTITION BY turn.account_id)
               + sum(c.size) OVER (PARTITION BY turn.account_id
                   ORDER BY c.priority DESC, c.job_id, c.first_position, c.id ROWS UNBOUNDED PRECEDING) - c.size AS start
        FROM turn CROSS JOIN LATERAL (
          SELECT c.job_id, c.id, c.priority, c.first_position, c.size
            FROM task_chunks c JOIN job_statuses j ON j.id = c.job_id
           WHERE c.type = turn.type AND c.account_id = turn.account_id AND ${CLAIMABLE} AND NOT (c.suspect AND c.size = 1)
           ORDER BY c.priority DESC, c.job_id, c.first_position, c.id
           LIMIT greatest(${CANDIDATES_EACH}, ${CANDIDATES} / turn.turns)) AS c
       WHERE coalesce(type_left, 1) > 0 AND coalesce(account_left, 1) > 0
    ), free AS MATERIALIZED (
      SELECT best.*
        FROM best JOIN task_chunks c USING (job_id, id) JOIN job_statuses j ON j.id = c.job_id
       WHERE ${CLAIMABLE} AND NOT (c.suspect AND c.size = 1)
       ORDER BY start, best.priority DESC, start + best.size, job_id, best.first_position, id
       LIMIT ${request.chunks} FOR UPDATE OF c SKIP LOCKED
    ), within_account AS (
      SELECT *, account_left - sum(need) OVER (PARTITION BY account_id ORDER BY ${ORDER} ROWS UNBOUNDED PRECEDING) + need
             AS of_account FROM free
    ), within_type AS (
      SELECT *, type_left - sum(need) OVER (PARTITION BY type ORDER BY ${ORDER} ROWS UNBOUNDED PRECEDING) + need AS of_type
        FROM within_account WHERE coalesce(of_account, 1) > 0
    ), slotted AS (
      SELECT *, least(need, of_account, of_type) AS slots FROM within_type WHERE coalesce(of_type, 1) > 0
    ), sized AS (
      SELECT *, CASE WHEN whole THEN 1 WHEN slots < need THEN slots * task_places ELSE size * task_places END AS places
        FROM slotted
    ), placed AS (
      SELECT *, sum(places) OVER best - places AS before, count(*) FILTER (WHERE lane) OVER best AS lanes
        FROM sized WINDOW best AS (ORDER BY ${ORDER} ROWS UNBOUNDED PRECEDING)
    ), claimed AS (
      UPDATE task_chunks c SET ${leased(request.worker, request.leaseMs, Prisma.sql`placed.slots`)}
        FROM placed
       WHERE c.job_id = placed.job_id AND c.id = placed.id
         AND placed.before < ${request.places} AND (NOT placed.lane OR placed.lanes <= ${request.lanes})
      RETURNING c.*, placed.start
    ), ${turnsSql()}
    SELECT (SELECT count(*)::int FROM best) AS candidates, ${UNHURRIED},
           EXISTS (SELECT FROM task_chunks WHERE state = 'ready' AND suspect AND size = 1
                      AND type = ANY(${types.map((t) => t.type)}::text[])) AS suspects, ${LEASE_COLUMNS}
      FROM (VALUES (1)) AS always LEFT JOIN (claimed c JOIN job_statuses j ON j.id = c.job_id) ON true
     ORDER BY c.start, c.priority DESC, c.start + c.size, c.job_id, c.first_position, c.id`;
}

/**
 * What a claim leaves behind of the turns that it saw. An account that was served moves on by as many tasks. One that has
 * nothing ready leaves the queue, unless it was woken since this statement began. One that has, but may run none of it (its
 * job has an order, or its limit is reached) goes behind the virtual time, so that 32 such do not hide the others.
 */
const turnsSql = (): Prisma.Sql => Prisma.sql`
  served AS (
    SELECT type, account_id, sum(size) AS tasks FROM claimed GROUP BY type, account_id
  ), seen AS (
    SELECT turn.type, turn.account_id, turn.place, turn.turns, turn.woken, served.tasks,
           EXISTS (SELECT FROM best b WHERE b.type = turn.type AND b.account_id = turn.account_id) AS has_best,
           coalesce((SELECT at FROM virtual_times v WHERE v.type = turn.type), 0) AS now
      FROM turn LEFT JOIN served USING (type, account_id)
  ), judged AS MATERIALIZED (
    SELECT *, has_best OR EXISTS (
             SELECT FROM task_chunks c WHERE c.type = seen.type AND c.account_id = seen.account_id
                AND state = 'ready' AND NOT (suspect AND size = 1)) AS has_ready
      FROM seen
  ), locked AS MATERIALIZED (
    SELECT t.type, t.account_id, judged.tasks, judged.now, judged.has_ready, judged.has_ready OR t.woken <> judged.woken AS stays
      FROM judged JOIN turns t USING (type, account_id)
     WHERE NOT has_ready OR (turns > 1 AND (tasks > 0 OR (NOT has_best AND judged.place <= now)))
     ORDER BY t.type, t.account_id FOR UPDATE OF t
  ), moved AS (
    UPDATE turns t
       SET is_waiting = locked.stays,
           place = CASE WHEN tasks > 0 THEN t.place + tasks WHEN has_ready THEN greatest(t.place, now + 1) ELSE t.place END
      FROM locked WHERE t.type = locked.type AND t.account_id = locked.account_id
    RETURNING t.type
  ), advanced AS (
    INSERT INTO virtual_times AS v (type, at)
    SELECT type, max(place) FROM seen
     WHERE turns > 1 AND tasks > 0 AND (SELECT count(*) FROM moved) > 0
     GROUP BY type HAVING max(place) > max(now) ORDER BY type
    ON CONFLICT (type) DO UPDATE SET at = greatest(v.at, excluded.at)
  )`;
