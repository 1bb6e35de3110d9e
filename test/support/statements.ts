import pg from 'pg';

export interface StatementCount {
  /** Statements sent by this process so far that match. */
  count: number;
  stop(): void;
}

/** Counts, at the driver, the statements that this process sends from now on and whose text matches. */
export function countStatements(pattern: RegExp): StatementCount {
  const client = pg.Client.prototype as { query: (...parameters: unknown[]) => unknown };
  const send = client.query;
  const seen: StatementCount = { count: 0, stop: () => (client.query = send) };
  client.query = function (this: unknown, ...parameters: unknown[]) {
    const [query] = parameters;
    const text = typeof query === 'string' ? query : (query as { text?: string } | undefined)?.text;
    if (text !== undefined && pattern.test(text)) seen.count += 1;
    return send.apply(this, parameters);
  };
  return seen;
}
