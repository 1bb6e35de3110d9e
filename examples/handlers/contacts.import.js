import { failed, succeeded, TaskHandler } from 'tally';
import { z } from 'zod';

/**
 * Imports contacts into a table of one's own: a batch of up to 500 tasks in one statement, through `tx`, so that the
 * contacts and their results commit together: each is written exactly once, whatever crashes.
 *
 *   POST /api/v2/jobs.json {"type": "contacts.import", "tasks": [{"email": "ada@example.com", "name": "Ada"}]}
 */

const task = z.strictObject({
  email: z.email().max(254),
  name: z.string().trim().min(1).max(200),
});

export const ImportContactsHandler = TaskHandler({
  type: 'contacts.import',
  task,
  transaction: true,
  batchSize: 500,
  // A contact that comes twice in one job is written in the order of the file.
  orderBy: (contact) => contact.email,
})(
  class ImportContactsHandler {
    async runBatch(contacts, { tx, accountId, message }) {
      await ensureTable(tx);
      // ON CONFLICT cannot touch a row twice: of a contact that comes twice in the batch, the last is written.
      const latest = [...new Map(contacts.map((contact) => [contact.email, contact])).values()];
      const rows = await tx.$queryRaw`
        INSERT INTO example_contacts (account_id, email, name)
        SELECT ${accountId}::int, email, name
          FROM json_to_recordset(${JSON.stringify(latest)}::json) AS c (email text, name text)
        ON CONFLICT (account_id, email) DO UPDATE SET name = excluded.name, updated_at = now()
        RETURNING id, email`;
      const ids = new Map(rows.map((row) => [row.email, row.id]));
      message(`Imported up to ${contacts.at(-1).email}`);
      return contacts.map(({ email }) => {
        const id = ids.get(email);
        if (id === undefined) return failed('NotImported', `${email} could not be imported`);
        return succeeded({ id, email, errors: '', success: true, status: 'Imported' });
      });
    }
  },
);

/** Made when it is missing; under a lock, since CREATE TABLE IF NOT EXISTS fails when two come at once. */
async function ensureTable(tx) {
  const [{ table }] = await tx.$queryRaw`SELECT to_regclass('example_contacts')::text AS "table"`;
  if (table !== null) return;
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtext('example_contacts'))`;
  await tx.$executeRaw`
    CREATE TABLE IF NOT EXISTS example_contacts (
      id         serial PRIMARY KEY,
      account_id integer NOT NULL,
      email      text NOT NULL,
      name       text NOT NULL,
      updated_at timestamptz NOT NULL DEFAULT now(),
      UNIQUE (account_id, email)
    )`;
}
