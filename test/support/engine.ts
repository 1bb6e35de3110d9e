import pg from 'pg';
import { LaneService } from '../../src/database/lane.service.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { newJobId, planChunks, type PlannedChunk } from '../../src/jobs/job.js';
import { jobOptions } from '../../src/jobs/job.schemas.js';
import { JobControlStore } from '../../src/jobs/job-control.store.js';
import { JobStore } from '../../src/jobs/job.store.js';
import { ChunkStore, type Claim } from '../../src/workers/chunk.store.js';
import type { ClaimRequest } from '../../src/workers/claim.sql.js';
import { HeartbeatStore } from '../../src/workers/heartbeat.store.js';
import type { Lease } from '../../src/workers/lease.sql.js';
import type { RecordedResults, Successor } from '../../src/workers/record.sql.js';
import { SuspectStore } from '../../src/workers/suspect.store.js';
import { UNSUSPECTED, type Suspicion } from '../../src/workers/suspicion.js';
import { createTestDatabase, type TestDatabase } from './database.js';
import { sessionsWait } from './locks.js';

export const LEASE_MS = 15_000;

export interface JobCounts {
  readonly status: string;
  readonly total: number;
  readonly progress: number;
  readonly failed: number;
  readonly version: number;
  readonly message: string | null;
  readonly results: number;
  readonly failedResults: number;
}

export interface ChunkRow extends Suspicion {
  readonly state: string;
  readonly positions: number[];
  readonly attempt: number;
  readonly alone: boolean;
}

type Claiming = Partial<ClaimRequest> & { readonly type?: string; readonly limit?: number | null };

interface SubmitOptions {
  readonly accountId?: number;
  readonly type?: string;
  readonly ordered?: boolean;
  readonly priority?: number;
  readonly max_attempts?: number;
  readonly max_failures?: number;
  /** Tasks of a chunk; without it, as the service would cut them. */
  readonly size?: number;
}

const chunksOf = (tasks: readonly string[], size: number): PlannedChunk[] =>
  Array.from({ length: Math.ceil(tasks.length / size) }, (_, n) => {
    const some = tasks.slice(n * size, (n + 1) * size);
    return { firstPosition: n * size, size: some.length, tasks: `[${some.join(',')}]` };
  });

/** The engine's stores on a database of their own, without a process around them, and a look at its rows. */
export class TestEngine {
  readonly prisma: PrismaService;
  readonly jobs: JobStore;
  readonly chunks: ChunkStore;
  readonly suspects: SuspectStore;
  readonly control: JobControlStore;
  readonly lanes: LaneService;
  readonly heartbeat: HeartbeatStore;
  readonly sql: pg.Pool;
  accountId = 0;
  userId = 0;

  private constructor(readonly database: TestDatabase) {
    this.prisma = new PrismaService(database.url);
    this.jobs = new JobStore(this.prisma);
    this.chunks = new ChunkStore(this.prisma);
    this.suspects = new SuspectStore(this.prisma);
    this.control = new JobControlStore(this.prisma);
    this.lanes = new LaneService(database.url);
    this.heartbeat = new HeartbeatStore(database.url);
    this.sql = new pg.Pool({ connectionString: database.url, max: 8 });
    this.sql.on('error', () => undefined);
  }

  static async start(): Promise<TestEngine> {
    const engine = new TestEngine(await createTestDatabase());
    const account = await engine.sql.query<{ id: number }>(
      "INSERT INTO accounts (subdomain) VALUES ('main') RETURNING id",
    );
    engine.accountId = account.rows[0]!.id;
    const user = await engine.sql.query<{ id: number }>(
      "INSERT INTO users (account_id, email) VALUES ($1, 'agent@example.com') RETURNING id",
      [engine.accountId],
    );
    engine.userId = user.rows[0]!.id;
    return engine;
  }

  async stop(): Promise<void> {
    await Promise.all([
      this.prisma.onModuleDestroy(),
      this.lanes.onModuleDestroy(),
      this.heartbeat.onModuleDestroy(),
      this.sql.end(),
    ]);
    await this.database.drop();
  }

  /** Submits a job of `total` tasks `{n: position}`. @returns its id */
  async submit(total: number, options: SubmitOptions = {}): Promise<string> {
    const { type = 'test.task', ordered = false, accountId = this.accountId, size, ...rest } = options;
    const id = newJobId();
    const tasks = Array.from({ length: total }, (_, n) => JSON.stringify({ n }));
    await this.jobs.submit({
      id,
      accountId,
      createdBy: this.userId,
      type,
      options: jobOptions.parse(rest),
      total,
      ordered,
      maxWorkingJobs: 1_000_000,
      key: null,
      chunks: size === undefined ? planChunks(tasks) : chunksOf(tasks, size),
    });
    return id;
  }

  /** Another account. @returns its id */
  async addAccount(subdomain: string): Promise<number> {
    const { rows } = await this.sql.query<{ id: number }>(
      'INSERT INTO accounts (subdomain) VALUES ($1) RETURNING id',
      [subdomain],
    );
    return rows[0]!.id;
  }

  async claim(request: Claiming = {}): Promise<Lease[]> {
    return (await this.look(request)).leases;
  }

  /** As `claim`, with all that it says. */
  look({ type = 'test.task', limit = null, ...rest }: Claiming = {}): Promise<Claim> {
    return this.chunks.claim({
      worker: 'test',
      types: [{ type, taskPlaces: 1, isWhole: false, takesLane: false, atOnce: 20, limit }],
      places: 1,
      lanes: 4,
      chunks: 16,
      leaseMs: LEASE_MS,
      accountLimit: null,
      ...rest,
    });
  }

  async claimOne(request: Claiming = {}): Promise<Lease> {
    const [lease] = await this.claim(request);
    if (!lease) throw new Error('there was nothing to claim');
    return lease;
  }

  /** Lets the lease run out, and takes the chunk back, as the sweeper of another worker would. */
  async expire(lease: Lease): Promise<void> {
    await this.sql.query(
      "UPDATE task_chunks SET lease_expires_at = clock_timestamp() - interval '1 second' WHERE lease_id = $1",
      [lease.leaseId],
    );
    await this.chunks.rescue();
  }

  /** Resolves when so many sessions of this database wait for a lock. */
  someoneWaits(sessions = 1): Promise<void> {
    return sessionsWait(this.sql, sessions);
  }

  async counts(jobId: string): Promise<JobCounts> {
    const { rows } = await this.sql.query<JobCounts>(
      `SELECT status, total, progress, failed, version, message,
              (SELECT count(*)::int FROM job_results WHERE job_id = j.id) AS results,
              (SELECT count(*)::int FROM job_results WHERE job_id = j.id AND NOT success) AS "failedResults"
         FROM job_statuses j WHERE id = $1`,
      [jobId],
    );
    return rows[0]!;
  }

  /** Claims a suspect of one task, as a worker that runs nothing else. */
  async claimSuspect(alone = true, limit: number | null = null, worker = 'test'): Promise<Lease | null> {
    const types = [{ type: 'test.task', limit }];
    const lease = await this.suspects.claim({
      worker,
      types,
      leaseMs: LEASE_MS,
      accountLimit: null,
    });
    if (lease && alone) await this.suspects.isolate(lease);
    return lease;
  }

  /** The positions of each chunk of the job, and its state. */
  async chunkRows(jobId: string): Promise<ChunkRow[]> {
    const { rows } = await this.sql.query<ChunkRow>(
      `SELECT state, attempt, suspect, crashes, survived, alone,
              CASE WHEN cardinality(positions) > 0 THEN positions
                   ELSE ARRAY(SELECT generate_series(first_position, first_position + size - 1)) END AS positions
         FROM task_chunks WHERE job_id = $1 ORDER BY id`,
      [jobId],
    );
    return rows;
  }
}

/** Positions of a lease's chunk. */
export const positionsOf = (lease: Lease): number[] =>
  lease.positions.length > 0
    ? [...lease.positions]
    : Array.from({ length: lease.size }, (_, at) => lease.firstPosition + at);

/** Results to record: these positions succeeded, those failed. */
export function recorded(
  positions: readonly number[],
  failed: readonly number[] = [],
  attempts = 1,
): RecordedResults {
  return {
    count: positions.length + failed.length,
    positions,
    results: JSON.stringify(positions.map((n) => ({ n, status: 'Done' }))),
    failures: JSON.stringify(
      failed.map((position) => ({
        position,
        result: { status: 'Failed' },
        error: 'Broken',
        task: { n: position },
      })),
    ),
    attempts,
    message: null,
  };
}

export const successor = (positions: readonly number[], more: Partial<Successor> = {}): Successor => ({
  positions,
  tasks: positions.map((n) => ({ n })),
  attempt: 0,
  ...UNSUSPECTED,
  delayMs: 0,
  ...more,
});
