/** Reads the errors that Prisma and node-postgres throw: which SQLSTATE it was, and whether the database is away. */

/** Raised by require_lease() in the database: the write changed nothing. */
export const LEASE_LOST = 'TY001';

export const CHECK_VIOLATION = '23514';
export const UNIQUE_VIOLATION = '23505';

const CONNECTION_WORDS =
  /ECONNREFUSED|Query read timeout|ECONNRESET|ENOTFOUND|EPIPE|ETIMEDOUT|Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable|Client was closed|Cannot use a pool after|Can't reach database|ConnectionClosed|DatabaseNotReachable|SocketTimeout|Unable to start a transaction/;

interface ErrorLike {
  readonly code?: unknown;
  readonly originalCode?: unknown;
  readonly message?: unknown;
  readonly kind?: unknown;
  readonly cause?: unknown;
  readonly meta?: { readonly driverAdapterError?: unknown };
}

/** The error and what it wraps, outermost first: Prisma hides the driver's error two or three levels down. */
function* chain(error: unknown): Generator<ErrorLike> {
  let at: unknown = error;
  for (let depth = 0; depth < 6 && typeof at === 'object' && at !== null; depth += 1) {
    const like = at as ErrorLike;
    yield like;
    at = like.meta?.driverAdapterError ?? like.cause;
  }
}

/** The five characters of Postgres's SQLSTATE, or null when the error did not come from a statement. */
export function sqlState(error: unknown): string | null {
  for (const { code, originalCode } of chain(error)) {
    if (typeof originalCode === 'string') return originalCode;
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('P2')) return code;
  }
  return null;
}

/** 40001 and 40P01: the same transaction may succeed when it is tried again. */
export const isSerializationFailure = (error: unknown): boolean =>
  ['40001', '40P01'].includes(sqlState(error) ?? '');

export const READ_ONLY = '25006';
export const DISK_FULL = '53100';

/** What it is that the database does not do now, for people; anything else is that it cannot be reached. */
const SENTENCES: Readonly<Record<string, string>> = {
  [READ_ONLY]: 'The database is read-only',
  [DISK_FULL]: 'The database has no space left',
  '53200': 'The database is out of memory',
  '53300': 'The database takes no more connections',
  '55P03': 'The database could not take a lock in time',
};

/** A sentence that says why the database is away; for errors of which `isDatabaseAway` is true. */
export const whyAway = (error: unknown): string =>
  SENTENCES[sqlState(error) ?? ''] ?? 'The database cannot be reached';

/**
 * Whether the database could not be reached, is starting, stopping or full, or refuses to write: nothing is wrong with the
 * statement, and later it may pass.
 */
export function isDatabaseAway(error: unknown): boolean {
  const state = sqlState(error);
  // 08: connection, 53: resources (disk full, too many connections), 57P: shutting down, 25006: read-only, 55P03: lock_timeout,
  // which is set by whoever runs the database.
  if (state !== null && /^(08|53|57P|25006|55P03|58)/.test(state)) return true;
  for (const { message, kind, code } of chain(error)) {
    if (code === 'P1001' || code === 'P1002' || code === 'P1017' || code === 'P2024' || code === 'P2037')
      return true;
    if (typeof kind === 'string' && CONNECTION_WORDS.test(kind)) return true;
    if (typeof message === 'string' && CONNECTION_WORDS.test(message)) return true;
  }
  return false;
}
