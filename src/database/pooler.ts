import type pg from 'pg';

/** Whether the backend is another one than the connection was told at its start: a pooler gives it one for each transaction. */
export async function isPooled(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  // The types of pg leave it out.
  return rows[0]?.pid !== (client as unknown as { processID: number }).processID;
}
