import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { basic } from '../auth/auth-support.js';
import { createEmptyDatabase, type TestDatabase } from '../support/database.js';
import { makeScratch, query, type Scratch } from '../support/scratch.js';
import { ADMIN, freePort, Service } from '../support/service.js';

let database: TestDatabase;
let scratch: Scratch;
let service: Service;
let port: number;
const email = 'owner@example.com';
beforeAll(async () => {
  [database, scratch, port] = await Promise.all([createEmptyDatabase(), makeScratch(), freePort()]);
  service = await Service.start({
    DATABASE_URL: database.url,
    PORT: String(port),
    ADMIN_EMAIL: email,
    DEMO_TASKS: '',
    WORKER_CONCURRENCY: '7',
  });
});
afterAll(async () => {
  await service.stop('SIGKILL');
  await Promise.all([database.drop(), scratch.remove()]);
});

/** What a start says that comes to nothing. */
async function refusal(env: Record<string, string>): Promise<string> {
  const refused = await Service.spawn({ DATABASE_URL: database.url, DRAIN_SECONDS: '0', ...env });
  expect(await refused.exit()).toBe(1);
  return refused.output;
}

describe('node dist/main.js', () => {
  test('migrates the database of DATABASE_URL', async () => {
    expect(await query(database.url, 'SELECT 1 FROM job_statuses')).toEqual([]);
  });

  test('makes an account and its admin, as ADMIN_EMAIL and ADMIN_PASSWORD say', async () => {
    const rows = await query(
      database.url,
      'SELECT u.email, u.role::text, a.subdomain FROM users u JOIN accounts a ON a.id = u.account_id',
    );
    expect(rows).toEqual([{ email, role: 'admin', subdomain: 'main' }]);
    expect(service.output).toContain(email);
    expect(service.output).not.toContain(ADMIN.password);
  });

  test('listens at HOST, 127.0.0.1 unless it is set, and PORT', async () => {
    const authorization = basic(email, ADMIN.password);
    const answer = await fetch(`http://127.0.0.1:${port}/api/v2/jobs.json`, { headers: { authorization } });
    expect(answer.status).toBe(200);
    expect(service.output).toContain(`Tally answers at http://127.0.0.1:${port}`);
  });

  test('runs WORKER_CONCURRENCY tasks at once', () => {
    expect(service.output).toContain('runs up to 7 tasks at once');
  });

  test('with ROLE=api has no worker, and with ROLE=worker answers health checks alone', async () => {
    const [api, worker] = await Promise.all([
      Service.start({ DATABASE_URL: database.url, ROLE: 'api' }),
      Service.start({ DATABASE_URL: database.url, ROLE: 'worker' }),
    ]);
    try {
      expect(api.output).not.toContain('tasks at once');
      expect((await fetch(`${api.origin}/readyz`)).status).toBe(200);
      expect((await fetch(`${worker.origin}/api/v2/jobs.json`)).status).toBe(404);
    } finally {
      expect(await Promise.all([api.stop(), worker.stop()])).toEqual([0, 0]);
    }
  });
});

describe('a value that is no good stops the start with one sentence that names its variable', () => {
  test('where it can be seen at once', async () => {
    expect(await refusal({ LEASE_SECONDS: 'soon' })).toBe(
      'The configuration cannot be used: LEASE_SECONDS: expected a whole number from 2 to 3600, got: soon\n',
    );
  });

  test('where a place is not there: HANDLERS, DATA_DIR', async () => {
    const file = join(scratch.folder, 'file');
    await writeFile(file, '');
    const [handlers, dataDir] = await Promise.all([
      refusal({ HANDLERS: '/nowhere/at/all' }),
      refusal({ DATABASE_URL: '', DATA_DIR: file }),
    ]);
    expect(handlers).toMatch(/^HANDLERS: \/nowhere\/at\/all cannot be read: .*\n$/);
    expect(dataDir).toMatch(/^DATA_DIR: .*file cannot be made: .*\n$/);
  });

  test('where an address cannot be listened at: PORT in use, HOST of another machine', async () => {
    const [used, elsewhere] = await Promise.all([
      refusal({ PORT: String(port), ROLE: 'api' }),
      refusal({ HOST: '203.0.113.9', ROLE: 'api' }),
    ]);
    expect(used).toMatch(/^PORT: cannot listen at 127\.0\.0\.1:\d+: .*EADDRINUSE.*$/m);
    expect(elsewhere).toMatch(/^HOST: cannot listen at 203\.0\.113\.9:\d+: .*EADDRNOTAVAIL.*$/m);
  });
});

// The last test of this file: it ends the service.
test('SIGTERM ends the service with exit code 0', async () => {
  expect(await service.stop()).toBe(0);
});
