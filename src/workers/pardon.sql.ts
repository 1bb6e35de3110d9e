import { Prisma } from '../database/generated/client.js';

/**
 * Takes all blame back from the tasks that wait or run alone: what they were blamed for may have been done to their workers
 * from outside. A row that somebody has locked keeps its blame; nobody waits for this.
 * @param except which chunks to leave out, as a condition on `job_id` and `id`
 */
export const pardonSql = (except: Prisma.Sql = Prisma.sql`false`): Prisma.Sql => Prisma.sql`
  UPDATE task_chunks SET survived = crashes
   WHERE (job_id, id) IN (
     SELECT job_id, id FROM task_chunks
      WHERE ((state = 'ready' AND suspect AND size = 1) OR state = 'leased') AND survived < crashes AND NOT (${except})
        FOR UPDATE SKIP LOCKED)`;
