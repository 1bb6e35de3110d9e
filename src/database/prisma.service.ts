import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { PrismaClient } from './generated/client.js';
import { POOL, TURN_MS } from './pool-shares.js';

/** The name under which Nest hands out the URL of the database this process uses. */
export const DATABASE_URL = Symbol('DATABASE_URL');

/**
 * The pool that everything shares but the worker's transactions (lane.service.ts) and its heartbeat, which must never
 * wait for a place in it.
 */
@Injectable()
export class PrismaService extends PrismaClient implements OnModuleDestroy {
  readonly #pool: pg.Pool;

  constructor(@Inject(DATABASE_URL) url: string) {
    const pool = new pg.Pool({
      connectionString: url,
      max: POOL,
      application_name: 'tally',
      connectionTimeoutMillis: TURN_MS,
      // A connection that stays open and carries nothing would hold its request for ever.
      query_timeout: 30_000,
      keepAlive: true,
    });
    // An idle connection that is cut (a restart of Postgres) is an event of the pool; the next query gets a new one.
    pool.on('error', () => undefined);
    super({ adapter: new PrismaPg(pool) });
    this.#pool = pool;
  }

  /**
   * One statement past Prisma, for parameters of many kilobytes. Prisma prints all of them as one JSON text, bytes in it as base64,
   * and reads that again: an upload of a million lines took 407 MB through it, 161 MB past it (median of three).
   * @returns rows written
   * @throws what node-postgres throws
   */
  async send(text: string, values: readonly unknown[]): Promise<number> {
    const { rowCount } = await this.#pool.query(text, [...values]);
    return rowCount ?? 0;
  }

  async onModuleDestroy(): Promise<void> {
    await this.$disconnect();
    await this.#pool.end();
  }
}

/** Whether the database takes no writes for now: it is a standby, or a setting says so. */
export async function isReadOnly(prisma: Pick<PrismaClient, '$queryRaw'>): Promise<boolean> {
  const [row] = await prisma.$queryRaw<{ setting: string }[]>`
    SELECT current_setting('transaction_read_only') AS setting`;
  return row?.setting === 'on';
}
