import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { Prisma, PrismaClient } from './generated/client.js';
import { LANE, LaneClient, WITH_COMMIT } from './lane-client.js';
import { useOf, type PoolUse } from './pool-use.js';
import { DATABASE_URL, isReadOnly } from './prisma.service.js';

/** Transactions of handlers at once in a process: more would only queue for the same two disks and cores. */
export const LANES = 4;

/** Prisma ends an interactive transaction after 5 s unless told otherwise; the task's own timeout rules here. */
const NO_TIMEOUT_MS = 24 * 60 * 60 * 1000;

/** A transaction in which handlers write and results are recorded. */
export interface Lane {
  readonly tx: Prisma.TransactionClient;
  /** Sends this with the COMMIT, in one round trip (see lane-client.ts). At most one a transaction. */
  commitWith(statement: Prisma.Sql): Promise<void>;
  /** Cuts the connection, whatever runs on it: for a handler that would not let go of it. */
  cut(): void;
}

/** The connections on which handlers with `transaction: true` write: a pool of their own, so that they starve no one. */
@Injectable()
export class LaneService implements OnModuleDestroy {
  readonly #pool: pg.Pool;
  readonly #prisma: PrismaClient;
  readonly #clients = new Set<LaneClient>();
  #begun = 0;

  constructor(@Inject(DATABASE_URL) url: string) {
    this.#pool = new pg.Pool({
      connectionString: url,
      max: LANES,
      application_name: 'tally-lane',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      // The types of pg know this option of pg-pool not.
      ...({ Client: LaneClient } as object),
    });
    this.#pool.on('error', () => undefined);
    this.#pool.on('connect', (client) => this.#clients.add(client as unknown as LaneClient));
    this.#pool.on('remove', (client) => this.#clients.delete(client as unknown as LaneClient));
    this.#prisma = new PrismaClient({ adapter: new PrismaPg(this.#pool) });
  }

  /**
   * Runs `work` in one transaction and commits it; rolls it back when `work` throws.
   * @param idleMs after so long without a statement Postgres ends the session, so that a stopped process blocks nobody
   */
  transaction<T>(idleMs: number, work: (lane: Lane) => Promise<T>): Promise<T> {
    const name = String((this.#begun += 1));
    return this.#prisma.$transaction(
      async (tx) => {
        // Set inside the transaction, where a transaction pooler cannot lose it. The check lets Postgres notice that a
        // connection was cut while it runs a statement, which it then ends.
        await tx.$queryRaw(Prisma.sql`${Prisma.raw(LANE)} SELECT ${name} AS lane,
          set_config('idle_in_transaction_session_timeout', ${String(idleMs)}, true),
          set_config('client_connection_check_interval', '500', true)`);
        const commitWith = async (statement: Prisma.Sql): Promise<void> => {
          await tx.$executeRaw(Prisma.sql`${Prisma.raw(WITH_COMMIT)} ${statement}`);
        };
        const cut = () => [...this.#clients].find(({ lane }) => lane === name)?.destroy();
        return work({ tx, commitWith, cut });
      },
      { timeout: NO_TIMEOUT_MS, maxWait: 10_000 },
    );
  }

  /** Whether the database takes no writes for now: of a standby, or by a setting. @throws what the driver throws */
  isReadOnly(): Promise<boolean> {
    return isReadOnly(this.#prisma);
  }

  poolUse(): PoolUse {
    return useOf(this.#pool);
  }

  async onModuleDestroy(): Promise<void> {
    await this.#prisma.$disconnect();
    await this.#pool.end();
  }
}
