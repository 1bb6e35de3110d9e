import type pg from 'pg';
import { waitFor } from './wait-for.js';

/** Resolves when at least so many sessions of the database of this connection wait for a lock. */
export async function sessionsWait(sql: Pick<pg.ClientBase, 'query'>, sessions = 1): Promise<void> {
  await waitFor(
    async () => {
      // Within a transaction all looks would see what the first one saw.
      await sql.query('SELECT pg_stat_clear_snapshot()');
      const { rows } = await sql.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows[0]!.n >= sessions;
    },
    { what: `${sessions} session(s) that wait for a lock` },
  );
}
