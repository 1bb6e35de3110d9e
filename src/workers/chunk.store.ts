import { Injectable } from '@nestjs/common';
import { LeaseLost } from '../errors.js';
import { sqlState, LEASE_LOST } from '../sql-errors.js';
import { Prisma } from '../database/generated/client.js';
import type { Lane } from '../database/lane.service.js';
import { PrismaService } from '../database/prisma.service.js';
import { READY_CHANNEL } from '../jobs/job.store.js';
import { CLAIMABLE, GIVEN_UP, LEASE_COLUMNS, leased, type Lease } from './lease.sql.js';
import { finishSql, flushSql, type LeaseRef, type RecordedResults, type Successor } from './record.sql.js';

/** A task type that may be claimed, and what a chunk of it takes up. */
export interface ClaimedType {
  readonly type: string;
  /** Places that a task counts for. */
  readonly taskPlaces: number;
  /** Whether a whole chunk counts for one place, however many tasks it has: one call runs many of them. */
  readonly isWhole: boolean;
  /** Whether a chunk takes a lane as well. */
  readonly takesLane: boolean;
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
}

export interface Claim {
  readonly leases: Lease[];
  /** Whether work was seen, though other workers had their hands on it: worth another try at once. */
  readonly contended: boolean;
  /** Whether suspects of one task wait for a worker that runs nothing else. */
  readonly suspects: boolean;
}

/** What becomes of the chunk when a handler's transaction commits. */
export type LaneEnd = { readonly keepMs: number } | { readonly successors: readonly Successor[] };

/** Chunks that a claim looks at, at most: more than it takes, since other workers may have their hands on some. */
const CANDIDATES = 64;

/** Every change that a worker makes to chunks. */
@Injectable()
export class ChunkStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * Leases chunks, by priority, then age of the job, then position, until their tasks fill the places. Of a job whose tasks
   * have an order, the chunk with the first position alone: the next one begins when that is gone.
   *
   * One statement. The candidates are read without locks, an index probe a type, so that neither a type that nobody
   * knows nor a long queue of another costs anything; only then are they locked, skipping what others hold.
   * Postgres's clock (`clock_timestamp()`, which goes on in a transaction) says until when.
   */
  async claim(request: ClaimRequest): Promise<Claim> {
    const { types } = request;
    type Row = Lease & { candidates: number; suspects: boolean };
    const rows = await this.prisma.$queryRaw<
      (Row | { candidates: number; suspects: boolean; leaseId: null })[]
    >`
      WITH candidate AS MATERIALIZED (
        SELECT c.*, wanted.lane, wanted.whole, wanted.task_places
          FROM unnest(${types.map((t) => t.type)}::text[], ${types.map((t) => t.takesLane)}::boolean[],
                      ${types.map((t) => t.isWhole)}::boolean[], ${types.map((t) => t.taskPlaces)}::float8[])
            AS wanted (type, lane, whole, task_places)
         CROSS JOIN LATERAL (
          SELECT job_id, id, priority, first_position FROM task_chunks
           WHERE state = 'ready' AND NOT (suspect AND size = 1) AND task_chunks.type = wanted.type
           ORDER BY priority DESC, job_id, first_position, id LIMIT ${CANDIDATES}) AS c
         ORDER BY priority DESC, job_id, first_position, id LIMIT ${CANDIDATES}
      ), free AS (
        SELECT c.job_id, c.id, c.priority, c.first_position, lane, CASE WHEN whole THEN 1 ELSE c.size * task_places END AS places
          FROM candidate JOIN task_chunks c USING (job_id, id) JOIN job_statuses j ON j.id = c.job_id
         WHERE ${CLAIMABLE} AND NOT (c.suspect AND c.size = 1)
         ORDER BY c.priority DESC, c.job_id, c.first_position, c.id LIMIT ${request.chunks} FOR UPDATE OF c SKIP LOCKED
      ), placed AS (
        SELECT job_id, id, lane,
               sum(places) OVER best - places AS before,
               count(*) FILTER (WHERE lane) OVER best AS lanes
          FROM free WINDOW best AS (ORDER BY priority DESC, job_id, first_position, id ROWS UNBOUNDED PRECEDING)
      ), claimed AS (
        UPDATE task_chunks c SET ${leased(request.worker, request.leaseMs)}
          FROM placed
         WHERE c.job_id = placed.job_id AND c.id = placed.id
           AND placed.before < ${request.places} AND (NOT placed.lane OR placed.lanes <= ${request.lanes})
        RETURNING c.*
      )
      SELECT (SELECT count(*)::int FROM candidate) AS candidates,
             EXISTS (SELECT FROM task_chunks WHERE state = 'ready' AND suspect AND size = 1
                        AND type = ANY(${types.map((t) => t.type)}::text[])) AS suspects, ${LEASE_COLUMNS}
        FROM (VALUES (1)) AS always LEFT JOIN (claimed c JOIN job_statuses j ON j.id = c.job_id) ON true
       ORDER BY c.priority DESC, c.job_id, c.first_position, c.id`;
    const leases = rows.filter((row): row is Row => row.leaseId !== null);
    const contended = leases.length === 0 && (rows[0]?.candidates ?? 0) > 0;
    return { leases, contended, suspects: rows[0]?.suspects ?? false };
  }

  /** Positions of the lease's chunk that have a result already: what an earlier holder recorded before it died. */
  async recordedPositions(lease: Lease): Promise<Set<number>> {
    const within =
      lease.positions.length > 0
        ? Prisma.sql`index = ANY(${lease.positions}::int[])`
        : Prisma.sql`index BETWEEN ${lease.firstPosition} AND ${lease.firstPosition + lease.size - 1}`;
    const rows = await this.prisma.$queryRaw<{ index: number }[]>`
      SELECT index FROM job_results WHERE job_id = ${lease.jobId}::uuid AND ${within}`;
    return new Set(rows.map((row) => row.index));
  }

  /** Adds results and extends the lease. @throws LeaseLost and nothing has changed */
  async flush(ref: LeaseRef, recorded: RecordedResults, leaseMs: number): Promise<void> {
    await fenced(ref, () => this.prisma.$queryRaw(flushSql(ref, recorded, leaseMs)));
  }

  /**
   * Records results, ends the chunk and puts what is left of it into its successors.
   * @returns the chunk that the lease goes on with, when one of the successors keeps it
   * @throws LeaseLost and nothing has changed
   */
  async finish(
    ref: LeaseRef,
    recorded: RecordedResults,
    successors: readonly Successor[],
  ): Promise<bigint | null> {
    const [row] = await fenced(ref, () =>
      this.prisma.$queryRaw<{ kept: bigint | null }[]>(finishSql(ref, recorded, successors)),
    );
    return row?.kept ?? null;
  }

  /**
   * As `finish`, with the commit of a handler's transaction; without successors to come, `keep` extends the lease instead.
   * The commit fails with TY001 where the lease is lost or a position had a result: then what the handler wrote is undone.
   */
  recordWithCommit(lane: Lane, ref: LeaseRef, recorded: RecordedResults, end: LaneEnd): Promise<void> {
    return lane.commitWith(
      'keepMs' in end
        ? flushSql(ref, recorded, end.keepMs, 'all-new')
        : finishSql(ref, recorded, end.successors, 'all-new'),
    );
  }

  /** Makes ready what has waited long enough. @returns chunks made ready */
  promote(): Promise<number> {
    return this.prisma.$executeRaw`
      UPDATE task_chunks SET state = 'ready', visible_at = NULL
       WHERE (job_id, id) IN (
         SELECT job_id, id FROM task_chunks WHERE state = 'waiting' AND visible_at <= clock_timestamp()
          ORDER BY visible_at LIMIT 1000 FOR UPDATE SKIP LOCKED)`;
  }

  /**
   * Takes chunks from workers that have said nothing for the length of a lease. They are suspects from now on; that a lease
   * ran out counts against a task only if nothing else ran in its process. @returns chunks made ready
   */
  rescue(): Promise<number> {
    return this.prisma.$executeRaw`
      UPDATE task_chunks
         SET ${GIVEN_UP}, suspect = true, crashes = CASE WHEN alone THEN least(crashes + 1, 32767) ELSE crashes END
       WHERE (job_id, id) IN (
         SELECT job_id, id FROM task_chunks WHERE state = 'leased' AND lease_expires_at <= clock_timestamp()
          LIMIT 1000 FOR UPDATE SKIP LOCKED)`;
  }

  /** Tells other workers that there is work. */
  async announce(): Promise<void> {
    await this.prisma.$queryRaw`SELECT pg_notify(${READY_CHANNEL}, '')::text`;
  }
}

/** Says `LeaseLost` where the database says TY001. */
export async function fenced<T>(ref: LeaseRef, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (sqlState(error) === LEASE_LOST) throw new LeaseLost(ref.jobId, ref.chunkId);
    throw error;
  }
}
