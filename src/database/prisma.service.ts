import { Inject, Injectable, Optional, type OnModuleDestroy } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { PrismaClient, type Prisma } from './generated/client.js';
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

  readonly #prepares: boolean;

  constructor(
    @Inject(DATABASE_URL) url: string,
    @Optional() @Inject(CONFIG) config?: Pick<Config, 'PREPARED_STATEMENTS' | 'DIRECT_DATABASE_URL'>,
  ) {
    const pool = new pg.Pool({
      connectionString: url,
      max: 10,
      application_name: 'tally',
      connectionTimeoutMillis: 5_000,
      // A connection that stays open and carries nothing would hold its request for ever.
      query_timeout: 30_000,
      keepAlive: true,
    });
    // An idle connection that is cut (a restart of Postgres) is an event of the pool; the next query gets a new one.
    pool.on('error', () => undefined);
    super({ adapter: new PrismaPg(pool) });
    this.#pool = pool;
    // Who names a way past a pooler has one, and it may lose what a connection has prepared.
    this.#prepares = config?.DIRECT_DATABASE_URL === undefined && (config?.PREPARED_STATEMENTS ?? true);
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
    const query = {
      ...(this.#prepares && name !== null && { name: preparedName(name, text) }),
      text,
      values: [...values],
      types: TYPES,
    };
    const { rows } = await this.#pool.query<Row & pg.QueryResultRow>(query);
    return rows;
  }

  poolUse(): PoolUse {
    return useOf(this.#pool);
  }

  async onModuleDestroy(): Promise<void> {
    await this.$disconnect();
    await this.#pool.end();
  }
}
