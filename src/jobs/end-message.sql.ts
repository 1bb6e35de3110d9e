import { Prisma } from '../database/generated/client.js';

/** What a job's message says when it ends, in the form of the seed: `Completed at Fri Apr 13 02:51:53 +0000 2012`. */
export const endMessage = (word: 'Completed' | 'Failed' | 'Killed'): Prisma.Sql =>
  Prisma.sql`${Prisma.raw(`'${word} at '`)} || ${UTC_TIME}`;

/** Postgres's clock and English names, whatever the locale: `Dy` and `Mon` are not translated. */
const UTC_TIME = Prisma.sql`to_char(clock_timestamp() AT TIME ZONE 'UTC', 'Dy Mon DD HH24:MI:SS "+0000" YYYY')`;
