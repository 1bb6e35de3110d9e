import { Prisma } from '../database/generated/client.js';

/** What a job's message says when it ends: `Completed at Fri Apr 13 02:51:53 +0000 2012`. */
export const endMessage = (word: 'Completed' | 'Failed' | 'Killed'): Prisma.Sql =>
  Prisma.sql`end_message(${word})`;
