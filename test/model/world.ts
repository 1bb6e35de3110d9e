import { expect } from '@jest/globals';
import { RetentionStore } from '../../src/jobs/retention.store.js';
import { PoolShares } from '../../src/database/pool-shares.js';
import { JobControlService } from '../../src/jobs/job-control.service.js';
import { DomainError, LeaseLost } from '../../src/errors.js';
import { LEASE_LOST, sqlState } from '../../src/sql-errors.js';
import type { TestEngine } from '../support/engine.js';
import { Model, type Job, type Ref } from './model.js';
import { CLEAR, look, RowCheck, type Rows } from './rows.js';
import { SimWorker } from './worker.js';

/** Long: no lease runs out, and no retry comes due, but by a step of the walk, however slow the machine. */
export const LEASE_MS = 3_600_000;
const MAX_WORKING_JOBS = 8;

export interface Numbers {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/** Two accounts with a user each, on one database for all walks. */
export interface Ground {
  readonly engine: TestEngine;
  readonly callers: readonly { readonly accountId: number; readonly userId: number }[];
}

export async function makeGround(engine: TestEngine): Promise<Ground> {
  const accountId = await engine.addAccount('other');
  const { rows } = await engine.sql.query<{ id: number }>(
    "INSERT INTO users (account_id, email) VALUES ($1, 'other@example.com') RETURNING id",
    [accountId],
  );
  const main = { accountId: engine.accountId, userId: engine.userId };
  return { engine, callers: [main, { accountId, userId: rows[0]!.id }] };
}

/** One walk: the engine, the model of it, and the workers between them. */
export class World {
  readonly engine: TestEngine;
  readonly model: Model;
  readonly workers: SimWorker[];
  readonly control: JobControlService;
  readonly retention: RetentionStore;
  /** Every lease that was ever given, newest last: also those that are lost. */
  readonly leases: Ref[] = [];
  /** What has happened, for people to read. */
  readonly log: string[] = [];
  readonly rowCheck: RowCheck;
  rows!: Rows;
  #serial = 0;

  constructor(
    readonly ground: Ground,
    plan: { readonly workers: number; readonly accountLimit: number | null },
  ) {
    this.engine = ground.engine;
    this.model = new Model({ accountLimit: plan.accountLimit, maxWorkingJobs: MAX_WORKING_JOBS });
    this.workers = Array.from({ length: plan.workers }, (_, n) => new SimWorker(this, `worker ${n + 1}`));
    this.control = new JobControlService(this.engine.control, new PoolShares({ MAX_PENDING_WRITES: 1_000 }), {
      MAX_WORKING_JOBS,
    });
    this.retention = new RetentionStore(this.engine.prisma);
    this.rowCheck = new RowCheck(ground.callers.map((caller) => caller.accountId));
  }

  async begin(): Promise<void> {
    await this.engine.sql.query(CLEAR);
    await this.check();
  }

  async check(): Promise<void> {
    this.rows = await look(this.engine.sql);
    this.rowCheck.compare(this.model, this.rows);
  }

  say(what: string): void {
    this.log.push(what);
  }

  /** A number that no result had before: what stands in a row says when it was recorded. */
  serial(): number {
    this.#serial += 1;
    return this.#serial;
  }

  /** The caller that submitted the job. */
  caller(account: number) {
    const caller = this.ground.callers[account]!;
    return { ...caller, account: `account ${account}`, email: 'agent@example.com', role: 'agent' as const };
  }

  /** One of the jobs that clients can see. */
  job(number: number, which: (job: Job) => boolean = () => true): Job | undefined {
    return pick(this.model.kept.filter(which), number);
  }

  /** The end that a lease has, at least, when it is extended from now on. */
  get leaseEndMs(): number {
    return this.rows.clockMs + LEASE_MS;
  }
}

export const pick = <T>(all: readonly T[], number: number): T | undefined =>
  all[number % Math.max(1, all.length)];

/** What a call came to: `done`, the word of a domain error, or LeaseLost. Anything else is a fault. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'done';
  } catch (error) {
    if (error instanceof DomainError) return error.word;
    if (error instanceof LeaseLost || sqlState(error) === LEASE_LOST) return 'LeaseLost';
    throw error;
  }
}

/** What a write on behalf of a lease came to, in the model's words. */
export async function expectRecorded(
  call: Promise<unknown>,
  mustBe: 'recorded' | 'LeaseLost',
): Promise<void> {
  expect(await outcomeOf(call)).toBe(mustBe === 'recorded' ? 'done' : mustBe);
}
