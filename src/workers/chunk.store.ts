import { Injectable } from '@nestjs/common';
import { LeaseLost } from '../errors.js';
import { chunksClaimed } from '../happenings.js';
import { sqlState, LEASE_LOST, UNIQUE_VIOLATION } from '../sql-errors.js';
import { Prisma } from '../database/generated/client.js';
import type { Lane } from '../database/lane.service.js';
import { PrismaService } from '../database/prisma.service.js';
import { READY_CHANNEL } from '../jobs/job.store.js';
import { claimSql, COUNT_LOCK, isLimited, type ClaimRequest } from './claim.sql.js';
import { Finishes, type ChunkEnd } from './finishes.js';
import { GIVEN_UP, type Lease } from './lease.sql.js';
import { pardonSql } from './pardon.sql.js';
import {
  finishAllSql,
  finishSql,
  flushSql,
  type LeaseRef,
  type Novelty,
  type RecordedResults,
  type Successor,
} from './record.sql.js';
import { mergeResults } from './result-buffer.js';
import { turnsToCome } from './turns.js';

export interface Claim {
  readonly leases: Lease[];
  /** Whether work was seen, though other workers had their hands on it: worth another try at once. */
  readonly contended: boolean;
  /** Whether suspects of one task wait for a worker that runs nothing else. */
  readonly suspects: boolean;
}

/** What becomes of the chunk when a handler's transaction commits. */
export type LaneEnd = { readonly keepMs: number } | { readonly successors: readonly Successor[] };

/** Every change that a worker makes to chunks. */
@Injectable()
export class ChunkStore {
  readonly #finishes = new Finishes(
    { all: (ends) => this.#finishAll(ends), alone: (end) => this.#finishAlone(end) },
    turnsToCome,
  );

  constructor(private readonly prisma: PrismaService) {}

  /**
   * Leases chunks: the account whose turn it is, then priority, then age of the job, then position, until their tasks fill
   * the places. Of a job whose tasks have an order, the chunk with the first position alone: the next one begins when that
   * is gone. Never more than the limits allow, whoever claims at the same time.
   */
  async claim(request: ClaimRequest): Promise<Claim> {
    type Row = Lease & { candidates: number; suspects: boolean };
    type Rows = (Row | { candidates: number; suspects: boolean; leaseId: null })[];
    const rows = isLimited(request)
      ? (
          await this.prisma.$transaction([
            this.prisma.$queryRaw(COUNT_LOCK),
            this.prisma.$queryRaw<Rows>(claimSql(request)),
          ])
        )[1]
      : await this.prisma.rows<Rows[number]>('claim', claimSql(request));
    const leases = rows.filter((row): row is Row => row.leaseId !== null);
    if (leases.length > 0) chunksClaimed.tell({ leases });
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
    await this.#record('flush', ref, (novelty) => flushSql(ref, recorded, leaseMs, novelty));
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
    if (successors.length === 0) {
      await this.#finishes.add({ ref, recorded });
      return null;
    }
    const statement = (novelty: Novelty) => finishSql(ref, recorded, successors, novelty);
    const [row] = await this.#record<{ kept: bigint | null }>('finish', ref, statement);
    return row?.kept ?? null;
  }

  /** Several chunks that end in one commit, those of a job together. */
  async #finishAll(ends: readonly ChunkEnd[]): Promise<void> {
    const ofJob = new Map<string, ChunkEnd[]>();
    for (const end of ends) {
      const others = ofJob.get(end.ref.jobId);
      if (others) others.push(end);
      else ofJob.set(end.ref.jobId, [end]);
    }
    const jobs = [...ofJob.values()].map((some) => ({
      refs: some.map(({ ref }) => ref),
      recorded: mergeResults(some.map(({ recorded }) => recorded)),
    }));
    await this.prisma.rows('finish_all', finishAllSql(jobs));
  }

  async #finishAlone({ ref, recorded }: ChunkEnd): Promise<void> {
    await this.#record('finish', ref, (novelty) => finishSql(ref, recorded, [], novelty));
  }

  /** Sends a record as one that was never sent; when a result turns out to be there already, as one that was. */
  async #record<Row>(
    name: string,
    ref: LeaseRef,
    statement: (novelty: Novelty) => Prisma.Sql,
  ): Promise<Row[]> {
    return fenced(ref, async () => {
      try {
        return await this.prisma.rows<Row>(name, statement('unheard'));
      } catch (error) {
        if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
        return this.prisma.rows<Row>(name, statement('some-new'));
      }
    });
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

  /** Whether the job works no more. */
  async hasJobEnded(jobId: string): Promise<boolean> {
    return (await this.prisma.jobStatus.count({ where: { id: jobId, status: 'working' } })) === 0;
  }

  /** Makes ready what has waited long enough. @returns chunks made ready */
  promote(): Promise<number> {
    return this.prisma.$executeRaw`
      UPDATE task_chunks SET state = 'ready', visible_at = NULL, ready_at = clock_timestamp()
       WHERE (job_id, id) IN (
         SELECT job_id, id FROM task_chunks WHERE state = 'waiting' AND visible_at <= clock_timestamp()
          ORDER BY visible_at LIMIT 1000 FOR UPDATE SKIP LOCKED)`;
  }

  /**
   * Takes chunks from workers that have said nothing for the length of a lease. They are suspects from now on; that a lease
   * ran out counts against a task only if nothing else ran in its process. Where a worker is among them that ran no task
   * alone, workers are lost for other reasons too, and no task is to blame for what has been so far. One statement, so that
   * nobody claims a task in between, as if it were to blame. @returns chunks made ready
   */
  async rescue(): Promise<number> {
    const [row] = await this.prisma.$queryRaw<{ rescued: number }[]>`
      WITH lost AS MATERIALIZED (
        SELECT job_id, id, worker, alone, least(crashes + alone::int, 32767) AS crashes FROM task_chunks
         WHERE state = 'leased' AND lease_expires_at <= clock_timestamp() LIMIT 1000 FOR UPDATE SKIP LOCKED
      ), stranger AS MATERIALIZED (
        SELECT worker FROM lost GROUP BY worker HAVING NOT bool_or(alone) LIMIT 1
      ), rescued AS (
        UPDATE task_chunks c
           SET ${GIVEN_UP}, suspect = true, crashes = lost.crashes,
               survived = CASE WHEN EXISTS (SELECT FROM stranger) THEN lost.crashes ELSE c.survived END
          FROM lost
         WHERE c.job_id = lost.job_id AND c.id = lost.id
        RETURNING c.id
      ), pardoned AS (${pardonSql(Prisma.sql`NOT EXISTS (SELECT FROM stranger) OR (job_id, id) IN (SELECT job_id, id FROM lost)`)}
      )
      SELECT count(*)::int AS rescued FROM rescued`;
    return row?.rescued ?? 0;
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
