import { Injectable } from '@nestjs/common';
import { LeaseLost } from '../errors.js';
import { Prisma } from '../database/generated/client.js';
import { PrismaService } from '../database/prisma.service.js';
import { busySql, COUNT_LOCK, isLimited, type ClaimedType } from './claim.sql.js';
import { CLAIMABLE, GIVEN_UP, LEASE_COLUMNS, leased, type Lease } from './lease.sql.js';
import { pardonSql } from './pardon.sql.js';
import type { LeaseRef } from './record.sql.js';

export interface SuspectRequest {
  readonly worker: string;
  readonly types: readonly Pick<ClaimedType, 'type' | 'limit'>[];
  readonly accountLimit: number | null;
  readonly leaseMs: number;
}

/** Suspects that a claim looks at: one more than can be in the hands of others would do. */
const CANDIDATES = 64;

/** What becomes of suspects of one task, which run with nothing else in their process. */
@Injectable()
export class SuspectStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * Leases one suspect of one task, of the oldest job. That it runs alone is noted afterwards, by the one who has the lease
   * (`isolate`), also where nothing else runs now: of a claim whose answer is lost nobody knows in this process, and its lease
   * would run out as if the task had crashed it.
   * @returns null: there is none that may run now
   */
  async claim(request: SuspectRequest): Promise<Lease | null> {
    const leases = isLimited(request)
      ? (
          await this.prisma.$transaction([
            this.prisma.$queryRaw(COUNT_LOCK),
            this.prisma.$queryRaw<Lease[]>(claimSuspectSql(request)),
          ])
        )[1]
      : await this.prisma.$queryRaw<Lease[]>(claimSuspectSql(request));
    return leases[0] ?? null;
  }

  /** Notes that nothing else runs in the process any more: from now on a crash is this task's. @throws LeaseLost */
  async isolate(ref: LeaseRef): Promise<void> {
    const hit = await this.prisma.$executeRaw`
      UPDATE task_chunks SET alone = true
       WHERE job_id = ${ref.jobId}::uuid AND id = ${ref.chunkId} AND lease_id = ${ref.leaseId}::uuid`;
    if (hit !== 1) throw new LeaseLost(ref.jobId, ref.chunkId);
  }

  /**
   * The process that ran this suspect alone has lost it, but lives: that was no crash. Gives the chunk up where nobody has
   * taken it yet, and takes the blame back where somebody has.
   */
  async survive(ref: LeaseRef): Promise<void> {
    const givenUp = await this.prisma.$executeRaw`
      UPDATE task_chunks SET ${GIVEN_UP}, crashes = crashes + 1, survived = survived + 1
       WHERE job_id = ${ref.jobId}::uuid AND id = ${ref.chunkId} AND lease_id = ${ref.leaseId}::uuid AND alone`;
    if (givenUp === 1) return;
    await this.prisma.$executeRaw`
      UPDATE task_chunks SET survived = survived + 1
       WHERE job_id = ${ref.jobId}::uuid AND id = ${ref.chunkId} AND lease_id IS DISTINCT FROM ${ref.leaseId}::uuid
         AND suspect AND size = 1 AND survived < crashes`;
  }

  /** A task that crashes were blamed on has ended well: others may be blamed as wrongly. */
  async pardon(): Promise<void> {
    await this.prisma.$executeRaw(pardonSql());
  }
}

export const claimSuspectSql = (request: SuspectRequest): Prisma.Sql => Prisma.sql`
  WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(${request.types.map((t) => t.type)}::text[], ${request.types.map((t) => t.limit)}::int[])
      AS wanted (type, type_limit)
  ), ${busySql(isLimited(request))}, candidate AS MATERIALIZED (
    SELECT job_id, id FROM task_chunks c JOIN wanted USING (type)
     WHERE state = 'ready' AND suspect AND size = 1
       AND coalesce(type_limit > (SELECT sum(slots) FROM busy b WHERE b.type = c.type), true)
       AND coalesce(${request.accountLimit}::int > (SELECT sum(slots) FROM busy b WHERE b.account_id = c.account_id), true)
     ORDER BY job_id, first_position LIMIT ${CANDIDATES}
  ), free AS (
    -- One by one, by key: a join may be planned the other way around, through all suspects for each candidate.
    SELECT held.job_id, held.id
      FROM candidate CROSS JOIN LATERAL (
        SELECT c.job_id, c.id
          FROM task_chunks c CROSS JOIN LATERAL (SELECT * FROM job_statuses WHERE id = c.job_id LIMIT 1) AS j
         WHERE c.job_id = ANY (ARRAY[candidate.job_id]) AND c.id = candidate.id AND ${CLAIMABLE} AND c.suspect AND c.size = 1
           FOR UPDATE OF c SKIP LOCKED) AS held
     LIMIT 1
  ), claimed AS (
    UPDATE task_chunks c SET ${leased(request.worker, request.leaseMs, Prisma.sql`1`)}
      FROM free WHERE c.job_id = free.job_id AND c.id = free.id
    RETURNING c.*
  )
  SELECT ${LEASE_COLUMNS} FROM claimed c JOIN job_statuses j ON j.id = c.job_id`;
