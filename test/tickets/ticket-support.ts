import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { PrismaClient, type Ticket } from '../../src/database/generated/client.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import type {
  BatchContext,
  BatchTaskHandler,
  TaskOutcome,
  TaskTransaction,
} from '../../src/jobs/task-handler.js';
import type { NewTicket } from '../../src/tickets/ticket.js';
import {
  CreateTicketsHandler,
  DeleteTicketsHandler,
  UpdateTicketsHandler,
} from '../../src/tickets/tickets.handlers.js';
import { TicketsStore } from '../../src/tickets/tickets.store.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

export const newTicket = (title: string, more: Partial<NewTicket> = {}): NewTicket => ({
  title,
  description: '',
  status: 'new',
  priority: null,
  tags: [],
  ...more,
});

/** The tickets' room on a database of its own with two accounts, without a process around it. */
export class TestTickets {
  readonly store: TicketsStore;
  readonly create: CreateTicketsHandler;
  readonly update: UpdateTicketsHandler;
  readonly delete: DeleteTicketsHandler;
  readonly sql: pg.Pool;

  private constructor(
    readonly database: TestDatabase,
    readonly prisma: PrismaService,
    readonly accountId: number,
    readonly otherAccountId: number,
  ) {
    this.store = new TicketsStore(prisma);
    this.create = new CreateTicketsHandler(this.store);
    this.update = new UpdateTicketsHandler(this.store);
    this.delete = new DeleteTicketsHandler(this.store);
    this.sql = new pg.Pool({ connectionString: database.url, max: 4 });
    this.sql.on('error', () => undefined);
  }

  static async start(): Promise<TestTickets> {
    const database = await createTestDatabase();
    const prisma = new PrismaService(database.url);
    const mine = await prisma.account.create({ data: { subdomain: 'mine' } });
    const other = await prisma.account.create({ data: { subdomain: 'other' } });
    return new TestTickets(database, prisma, mine.id, other.id);
  }

  async stop(): Promise<void> {
    await Promise.all([this.prisma.onModuleDestroy(), this.sql.end()]);
    await this.database.drop();
  }

  /** Runs a batch as the worker does, in one transaction that is committed. */
  run<Task>(
    handler: BatchTaskHandler<Task>,
    tasks: readonly Task[],
    accountId = this.accountId,
  ): Promise<readonly TaskOutcome[]> {
    return this.prisma.$transaction((tx) =>
      handler.runBatch(tasks, batchContext(tx, accountId, tasks.length)),
    );
  }

  /** Makes tickets. @returns their ids */
  add(tickets: readonly NewTicket[], accountId = this.accountId): Promise<number[]> {
    return this.prisma.$transaction((tx) => this.store.create(tx, accountId, tickets));
  }

  ticket(id: number): Promise<Ticket | null> {
    return this.prisma.ticket.findUnique({ where: { id } });
  }

  /** Runs a batch in a transaction. @returns how many statements it took, less the transaction's own */
  async countStatements(work: (tx: TaskTransaction) => Promise<unknown>): Promise<number> {
    const adapter = new PrismaPg({ connectionString: this.database.url });
    const client = new PrismaClient({ adapter, log: [{ emit: 'event', level: 'query' }] });
    let count = 0;
    client.$on('query', ({ query }) => {
      if (!/^(BEGIN|COMMIT|ROLLBACK)/.test(query)) count += 1;
    });
    await client.$transaction(work);
    await client.$disconnect();
    return count;
  }
}

export function batchContext(tx: TaskTransaction, accountId: number, size: number): BatchContext {
  const indexes = Array.from({ length: size }, (_, index) => index);
  const quiet = () => undefined;
  return {
    jobId: '0'.repeat(32),
    accountId,
    attempt: 1,
    signal: new AbortController().signal,
    tx,
    log: { info: quiet, warn: quiet, error: quiet },
    message: quiet,
    indexes,
    keys: indexes.map(String),
  };
}

/** What the worker would record as the result of this outcome. */
export const resultOf = (outcome: TaskOutcome | undefined): unknown => outcome?.result;
