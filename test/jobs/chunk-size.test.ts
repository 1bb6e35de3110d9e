import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Prisma } from '../../src/database/generated/client.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { chunkSize } from '../../src/jobs/job.js';
import { sizeOf } from '../../src/jobs/job-control.store.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

let database: TestDatabase;
let prisma: PrismaService;

beforeAll(async () => {
  database = await createTestDatabase();
  prisma = new PrismaService(database.url);
});
afterAll(async () => {
  await prisma.onModuleDestroy();
  await database.drop();
});

test('a retry, which Postgres cuts into chunks, has chunks of the same size as any job', async () => {
  const rows = await prisma.rows<{ total: number; size: number }>(
    null,
    Prisma.sql`SELECT total, ${sizeOf(Prisma.sql`total`)} AS size
                 FROM (SELECT generate_series(1, 20000) AS total UNION ALL VALUES (100000), (2000000)) AS totals`,
  );
  expect(rows).toHaveLength(20_002);
  expect(rows.filter(({ total, size }) => size !== chunkSize(total))).toEqual([]);
});
