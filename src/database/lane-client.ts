import pg from 'pg';

/**
 * A statement that begins so is not sent when it is executed, but together with the COMMIT of its transaction, in one
 * round trip.
 *
 * Why: the record of a chunk locks the chunk's row and the job's row. Were it sent on its own, a process that is
 * stopped between it and the COMMIT would hold these locks, and with them the rescue of the chunk and the kill of the
 * job, until the session is ended for it. So engine rows are locked in the last round trip only, and whatever the
 * process does then, Postgres finishes alone.
 */
export const WITH_COMMIT = '/* with commit */';

/**
 * A statement that begins so tells the connection, by its first parameter, whose transaction it carries. Rejected: to find the
 * connection by the pid of its backend, since through a pooler a client is told another one.
 */
export const LANE = '/* lane */';

interface QueryConfig {
  readonly text: string;
  readonly values?: readonly unknown[];
}

const isConfig = (query: unknown): query is QueryConfig =>
  typeof query === 'object' && query !== null && 'text' in query && typeof query.text === 'string';

const NOTHING = { command: '', rowCount: 0, oid: 0, fields: [], rows: [] };

/** A connection of the worker's transactions. Prisma's adapter calls `query` alone, with a config and no callback. */
export class LaneClient extends pg.Client {
  /** The transaction that it carries, or carried last. */
  lane: unknown = null;
  #withCommit: string | null = null;
  readonly #send: (...args: unknown[]) => unknown;

  constructor(config?: pg.ClientConfig) {
    super(config);
    this.#send = this.query.bind(this);
    // Assigned, not overridden: the overloads of pg's `query` cannot be restated; what passes through stays as it came.
    Object.assign(this, { query: (...args: unknown[]) => this.#query(...args) });
  }

  #query(...args: unknown[]): unknown {
    const [query] = args;
    if (isConfig(query)) {
      if (query.text.startsWith(WITH_COMMIT)) {
        this.#withCommit = inline(query);
        return Promise.resolve(NOTHING);
      }
      if (query.text.startsWith(LANE)) this.lane = query.values?.[0];
      if (query.text === 'COMMIT' && this.#withCommit !== null) return this.#commit(this.#withCommit);
      if (query.text === 'ROLLBACK') this.#withCommit = null;
    }
    return this.#send(...args);
  }

  async #commit(statement: string): Promise<unknown> {
    this.#withCommit = null;
    try {
      // Simple protocol: both travel in one message, and a failure of the first keeps the second from running.
      await this.#send(`${statement};\nCOMMIT`);
      return NOTHING;
    } catch (error) {
      // The adapter hands the connection back without a word to Postgres, which would leave it in a failed transaction.
      await (this.#send('ROLLBACK') as Promise<unknown>).catch(() => undefined);
      throw error;
    }
  }

  /** Cuts the connection now, whatever runs on it: Postgres rolls its transaction back. */
  destroy(): void {
    (this as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
}

/** The statement with its parameters written into it as literals, since the simple protocol takes none. */
function inline({ text, values = [] }: QueryConfig): string {
  return text.replace(/\$(\d+)/g, (_, n: string) => literal(values[Number(n) - 1]));
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'number' || typeof value === 'bigint') return `(${value})`;
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'string') return pg.escapeLiteral(value);
  if (Array.isArray(value)) return pg.escapeLiteral(`{${value.map(arrayItem).join(',')}}`);
  throw new TypeError(
    `expected a plain value as the parameter of a recording statement, got: ${typeof value}`,
  );
}

function arrayItem(value: unknown): string {
  if (typeof value === 'number') return String(value);
  throw new TypeError('expected an array of numbers as the parameter of a recording statement');
}
