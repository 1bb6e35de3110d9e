import { defineConfig } from 'prisma/config';

/** Read by the Prisma command line alone (`prisma generate`, `prisma studio`); the service reads src/config. */
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env['DATABASE_URL'] ?? 'postgresql://localhost:5432/tally' },
});
