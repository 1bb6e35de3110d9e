import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { PrismaService } from '../src/database/prisma.service.js';
import { newJobId, planChunks } from '../src/jobs/job.js';
import { jobOptions } from '../src/jobs/job.schemas.js';
import { JobStore } from '../src/jobs/job.store.js';
import { BenchService } from './service.js';

/**
 * One account with a million tasks waiting, nine that each submit a job of ten tasks every second, one worker with 20 places:
 * `tsx bench/fairness.ts`. How long the small jobs wait for their first task and for their end, and what the large one
 * has of the worker with and without them. All times are Postgres's.
 */

const BIG_TASKS = Number(process.env['BIG_TASKS'] ?? 1_000_000);
const TASK_MS = Number(process.env['TASK_MS'] ?? 10);
const SECONDS = Number(process.env['SECONDS'] ?? 20);
const SMALL_ACCOUNTS = 9;

const quantile = (numbers: readonly number[], share: number): string =>
  ([...numbers].sort((a, b) => a - b)[Math.ceil(numbers.length * share) - 1] ?? NaN).toFixed(0);

class Accounts {
  readonly #jobs: JobStore;
  readonly #users: { accountId: number; userId: number }[] = [];

  constructor(
    prisma: PrismaService,
    readonly sql: pg.Pool,
  ) {
    this.#jobs = new JobStore(prisma);
  }

  async add(subdomain: string): Promise<void> {
    const { rows } = await this.sql.query<{ accountId: number; userId: number }>(
      `WITH account AS (INSERT INTO accounts (subdomain) VALUES ($1) RETURNING id)
       INSERT INTO users (account_id, email) SELECT id, $1 || '@example.com' FROM account
       RETURNING account_id AS "accountId", id AS "userId"`,
      [subdomain],
    );
    this.#users.push(...rows);
  }

  async submit(account: number, total: number): Promise<string> {
    const user = this.#users[account];
    if (!user) throw new Error(`there is no account ${account}`);
    const id = newJobId();
    const task = `{"ms":${TASK_MS}}`;
    await this.#jobs.submit({
      id,
      accountId: user.accountId,
      createdBy: user.userId,
      type: 'demo.sleep',
      options: jobOptions.parse({}),
      total,
      ordered: false,
      maxWorkingJobs: 1_000_000,
      key: null,
      chunks: planChunks(Array.from({ length: total }, () => task)),
    });
    return id;
  }

  async progress(id: string): Promise<number> {
    const { rows } = await this.sql.query<{ progress: number }>(
      'SELECT progress FROM job_statuses WHERE id = $1',
      [id],
    );
    return rows[0]?.progress ?? 0;
  }
}

async function main(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tally-fairness-'));
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined });
  const service = await BenchService.start({ DATABASE_URL: postgres.url, WORKER_CONCURRENCY: '20' });
  const prisma = new PrismaService(postgres.url);
  const sql = new pg.Pool({ connectionString: postgres.url });
  const accounts = new Accounts(prisma, sql);
  console.log(
    `Node ${process.version}, ${cpus().length} cores; ${BIG_TASKS} tasks of ${TASK_MS} ms, ${SMALL_ACCOUNTS} x 10 tasks a second for ${SECONDS} s\n`,
  );
  try {
    for (let n = 0; n <= SMALL_ACCOUNTS; n += 1) await accounts.add(`account-${n}`);
    const big = await accounts.submit(0, BIG_TASKS);
    await sleep(3_000);
    const rate = async (during: () => Promise<void>): Promise<number> => {
      const [before, begun] = [await accounts.progress(big), performance.now()];
      await during();
      return ((await accounts.progress(big)) - before) / ((performance.now() - begun) / 1_000);
    };
    const alone = await rate(() => sleep(SECONDS * 1_000));
    const beside = await rate(async () => {
      for (let second = 0; second < SECONDS; second += 1) {
        const next = sleep(1_000);
        await Promise.all(Array.from({ length: SMALL_ACCOUNTS }, (_, n) => accounts.submit(n + 1, 10)));
        await next;
      }
    });
    await sleep(3_000);
    const { rows } = await sql.query<{ start: number; end: number }>(
      `SELECT extract(epoch FROM started_at - created_at)::float8 * 1000 AS start,
              extract(epoch FROM finished_at - created_at)::float8 * 1000 AS end
         FROM job_statuses WHERE id <> $1`,
      [big],
    );
    const [starts, ends] = [rows.map((row) => row.start), rows.map((row) => row.end)];
    console.log(`| small jobs: ${rows.length} | p50 | p99 | largest |\n| --- | --- | --- | --- |`);
    for (const [what, times] of [
      ['to the start', starts],
      ['to the end', ends],
    ] as const)
      console.log(
        `| ${what} | ${quantile(times, 0.5)} ms | ${quantile(times, 0.99)} ms | ${quantile(times, 1)} ms |`,
      );
    console.log(
      `\nthe large job alone ${alone.toFixed(0)} tasks/s, beside the small ones ${beside.toFixed(0)} tasks/s and theirs ${(SMALL_ACCOUNTS * 10).toFixed(0)}`,
    );
  } finally {
    await service.stop();
    await prisma.onModuleDestroy();
    await sql.end();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

await main();
