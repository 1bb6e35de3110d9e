import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** The migrated, empty database that every test database is a copy of. */
export const TEMPLATE = 'tally_template';

export interface TestDatabase {
  readonly url: string;
  /** Cuts every connection to it and removes it. */
  drop(): Promise<void>;
}

/** An empty database of one's own with the newest tables, on the server of this test run. Takes about 25 ms. */
export async function createTestDatabase(): Promise<TestDatabase> {
  return createDatabase(`TEMPLATE ${TEMPLATE}`);
}

/** A database of one's own without any table. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return createDatabase('');
}

async function createDatabase(options: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await onServer(`CREATE DATABASE ${name} ${options}`);
  return {
    url: urlOf(name),
    drop: () => onServer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/** The URL of a database on the server of this test run. */
export function urlOf(database: string): string {
  const admin = process.env['TALLY_TEST_DATABASE_URL'];
  if (!admin)
    throw new Error('There is no test server: run the tests through Jest, whose global setup starts it');
  const url = new URL(admin);
  url.pathname = `/${database}`;
  return url.href;
}

/** One statement on the server's own database. */
export async function onServer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: process.env['TALLY_TEST_DATABASE_URL'] });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
