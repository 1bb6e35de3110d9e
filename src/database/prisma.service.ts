import { Inject, Injectable, Optional, type OnModuleDestroy } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { PrismaClient, type Prisma } from './generated/client.js';
import { isPooled } from './pooler.js';
import { POOL, TURN_MS } from './pool-shares.js';
import { preparedName, TYPES } from './prepared.js';
import { useOf, type PoolUse } from './pool-use.js';

/** The name under which Nest hands out the URL of the database this process uses. */
export const DATABASE_URL = Symbol('DATABASE_URL');

/**
 * The pool that everything shares but the worker's transactions (lane.service.ts) and its heartbeat, which must never
 * wait for a place in it.
 */
@Injectable()
export class PrismaService extends PrismaClient implements OnModuleDestroy {
  readonly #pool: pg.Pool;
  /** Null until it is known. */
  #prepares: boolean | null;

  constructor(
    @Inject(DATABASE_URL) url: string,
    @Optional() @Inject(CONFIG) config?: Pick<Config, 'PREPARED_STATEMENTS'>,
  ) {
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
    this.#prepares = config?.PREPARED_STATEMENTS === false ? false : null;
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

  /**
   * A hot statement past Prisma's client, which takes longer over one than Postgres does, and planned once a connection: by a
   * name, which stands for its text. A bigint comes as BigInt, as from `$queryRaw`.
   * @param name of the statement, for people; null: its text is another one nearly each time, and it is planned each time
   * @throws what node-postgres throws
   */
  async rows<Row>(name: string | null, statement: Prisma.Sql): Promise<Row[]> {
    const { text, values } = statement;
    const isPrepared = name !== null && (this.#prepares ?? (await this.#findOut()));
    const query = {
      ...(isPrepared && { name: preparedName(name, text) }),
      text,
      values: [...values],
      types: TYPES,
    };
    const { rows } = await this.#pool.query<Row & pg.QueryResultRow>(query);
    return rows;
  }

  /** A transaction pooler gives each transaction another backend, which knows nothing of what was prepared. */
  async #findOut(): Promise<boolean> {
    const client = await this.#pool.connect();
    // When it is cut the statement fails, which says the same; without a listener the process would end.
    const ignore = (): void => undefined;
    client.on('error', ignore);
    let isBroken = true;
    try {
      this.#prepares = !(await isPooled(client));
      isBroken = false;
      return this.#prepares;
    } finally {
      client.off('error', ignore);
      client.release(isBroken);
    }
  }

  poolUse(): PoolUse {
    return useOf(this.#pool);
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
