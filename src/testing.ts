import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from './database/generated/client.js';
import { startEmbeddedPostgres } from './database/embedded-postgres.js';
import { migrate } from './database/migrate.js';
import {
  handlerOptions,
  type BatchContext,
  type TaskContext,
  type TaskHandlerClass,
  type TaskLog,
  type TaskOutcome,
  type TaskTransaction,
} from './jobs/task-handler.js';
import { isBatchHandler } from './jobs/task-types.js';
import { thrownOutcome, toOutcome } from './workers/outcome.js';

/** What the author of a task handler imports from `tally/testing`: a handler run against a real database. */

export interface RunOptions {
  /** A migrated database, such as `withDatabase` gives. */
  readonly databaseUrl: string;
  /** Default 1. */
  readonly attempt?: number;
  /** Default 1. */
  readonly accountId?: number;
  readonly signal?: AbortSignal;
  /** Whether what a handler with a transaction writes stays. Default true. */
  readonly commit?: boolean;
}

/**
 * Gives a throw-away Postgres 18 with the tables of Tally; it is gone when `work` ends.
 * @param work is given the database's URL
 */
export async function withDatabase<T>(work: (databaseUrl: string) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tally-handlers-'));
  const quiet = () => undefined;
  const postgres = await startEmbeddedPostgres({ dataDir, log: quiet, durable: false });
  try {
    await migrate(postgres.url, quiet);
    return await work(postgres.url);
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/**
 * Runs a handler as the worker does: each task through its schema, then `run` or `runBatch`, in one transaction where it
 * declares one.
 * @returns an outcome a task; what `run` throws is a failure `HandlerError`
 * @throws what `runBatch` throws, and an error that names a task which the schema refuses
 */
export async function runHandler(
  handlerClass: TaskHandlerClass,
  tasks: readonly unknown[],
  options: RunOptions,
): Promise<TaskOutcome[]> {
  const about = handlerOptions(handlerClass);
  if (!about) throw new TypeError(`expected ${handlerClass.name} to be declared with TaskHandler`);
  const inputs = tasks.map((task, index) => {
    const parsed = about.task.safeParse(task);
    if (!parsed.success) throw new TypeError(`task ${index} is refused: ${parsed.error.message}`);
    return parsed.data;
  });
  const handler = new handlerClass();
  const run = async (tx: TaskTransaction | null): Promise<TaskOutcome[]> => {
    if (isBatchHandler(handler))
      return [...(await handler.runBatch(inputs as never, batchContext(options, tx, inputs.length)))];
    const outcomes: TaskOutcome[] = [];
    for (const [index, input] of inputs.entries()) {
      await tx?.$executeRawUnsafe('SAVEPOINT task');
      const outcome = await outcomeOf(() => handler.run(input as never, taskContext(options, tx, index)));
      // As in production: what a failed task wrote is undone.
      await tx?.$executeRawUnsafe(outcome.success ? 'RELEASE SAVEPOINT task' : 'ROLLBACK TO SAVEPOINT task');
      outcomes.push(outcome);
    }
    return outcomes;
  };
  return about.transaction ? inTransaction(options, run) : run(null);
}

async function outcomeOf(run: () => Promise<TaskOutcome> | TaskOutcome): Promise<TaskOutcome> {
  try {
    return toOutcome(await run());
  } catch (error) {
    return thrownOutcome(error);
  }
}

class RolledBack extends Error {
  constructor(readonly outcomes: TaskOutcome[]) {
    super('rolled back as asked');
  }
}

async function inTransaction(
  options: RunOptions,
  run: (tx: TaskTransaction) => Promise<TaskOutcome[]>,
): Promise<TaskOutcome[]> {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: options.databaseUrl }) });
  try {
    return await prisma.$transaction(async (tx) => {
      const outcomes = await run(tx);
      if (options.commit === false) throw new RolledBack(outcomes);
      return outcomes;
    });
  } catch (error) {
    if (error instanceof RolledBack) return error.outcomes;
    throw error;
  } finally {
    await prisma.$disconnect();
  }
}

const JOB_ID = '0'.repeat(32);
const silent: TaskLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

const handlerContext = (options: RunOptions) => ({
  jobId: JOB_ID,
  accountId: options.accountId ?? 1,
  attempt: options.attempt ?? 1,
  signal: options.signal ?? new AbortController().signal,
  log: silent,
  message: () => undefined,
});

/** Adds `tx`, which answers only where there is one. */
const withTx = <Context extends object>(context: Context, tx: TaskTransaction | null) =>
  Object.defineProperty(context, 'tx', {
    get: () => {
      if (tx) return tx;
      throw new TypeError('declare transaction: true to be given tx');
    },
  }) as Context & { readonly tx: TaskTransaction };

const taskContext = (options: RunOptions, tx: TaskTransaction | null, index: number): TaskContext =>
  withTx({ ...handlerContext(options), index, key: `${JOB_ID}:${index}` }, tx);

const batchContext = (options: RunOptions, tx: TaskTransaction | null, size: number): BatchContext => {
  const indexes = Array.from({ length: size }, (_, index) => index);
  return withTx(
    { ...handlerContext(options), indexes, keys: indexes.map((index) => `${JOB_ID}:${index}`) },
    tx,
  );
};
