import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { PrismaService } from '../../src/database/prisma.service.js';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/database.js';
import { query } from '../support/scratch.js';
import { jsonLines, tally } from './cli-support.js';

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

const run = (args: readonly string[], stdin = '', url = database.url) =>
  tally({ DATABASE_URL: url }, args, stdin);

describe('the operator', () => {
  test('adds a user with an account, makes a token, and sees them without anything secret', async () => {
    const added = await run(['users', 'add', 'Ann@example.com', '--account', 'acme', '--role', 'admin', '--password-stdin'], 'correct horse'); // prettier-ignore
    expect(added).toEqual({
      code: 0,
      out: '',
      err: 'Added the admin ann@example.com to the account acme.\n',
    });
    const token = (await run(['tokens', 'add', 'ann@example.com'])).out.trim();
    expect(token.length).toBeGreaterThan(30);
    const users = jsonLines((await run(['users', '--account', 'acme', '--json'])).out);
    expect(users).toEqual([
      { email: 'ann@example.com', account: 'acme', role: 'admin', tokens: 1, disabledAt: null },
    ]);
    expect((await run(['accounts'])).out).toMatch(/^ACCOUNT +USERS +WORKING JOBS +SINCE\nacme +1 +0 +20/);
    expect((await run(['tokens', 'revoke', 'ann@example.com'])).err).toContain('revoked: 1');
    const listed = await run(['tokens', 'list', 'ann@example.com', '--json']);
    expect(jsonLines(listed.out)).toEqual([
      expect.objectContaining({ email: 'ann@example.com', revokedAt: expect.any(String) }),
    ]);
    expect(listed.out).not.toContain(token);
    expect((await run(['users', 'disable', 'ann@example.com'])).code).toBe(0);
    expect((await run(['users', 'disable', 'nobody@example.com'])).code).toBe(3);
    expect((await run(['users', 'add', 'ann'])).code).toBe(2);
  }, 120_000);
});

describe('tally doctor', () => {
  const findings = async (url = database.url) => {
    const { code, out } = await run(['doctor', '--json'], '', url);
    return { code, by: new Map(jsonLines(out).map((one) => [one.what, one])) };
  };

  test('finds that no worker lives, and what to do', async () => {
    const { code, by } = await findings();
    expect(code).toBe(1);
    expect(by.get('Workers')).toMatchObject({ is: 'ill', advice: expect.stringContaining('ROLE=worker') });
    for (const what of [
      'Database',
      'Postgres version',
      'Migrations',
      'Clock',
      'Queue',
      'Leases',
      'Callbacks',
    ])
      expect(by.get(what)).toMatchObject({ is: 'well' });
  }, 60_000);

  test('finds nothing where all is well, dead leases, and a type that nobody knows', async () => {
    await query(
      database.url,
      `INSERT INTO workers (name, types, concurrency) VALUES ('w', '{demo.sleep}', 20)`,
    );
    const user = await prisma.user.findFirstOrThrow();
    await query(
      database.url,
      `INSERT INTO job_statuses (id, account_id, created_by, type, total)
         VALUES ('00000000-0000-7000-8000-000000000001', ${user.accountId}, ${user.id}, 'demo.sleep', 2)`,
    );
    const well = await run(['doctor']);
    expect([well.code, well.out]).toEqual([
      0,
      expect.stringMatching(/^ok {4}Workers: 1 alive, with 20 places/m),
    ]);
    await query(
      database.url,
      `INSERT INTO task_chunks (job_id, account_id, type, priority, first_position, size, tasks, state, lease_id, leased_at, lease_expires_at, worker, slots)
         VALUES ('00000000-0000-7000-8000-000000000001', ${user.accountId}, 'demo.sleep', 0, 0, 2, '[{},{}]', 'leased', gen_random_uuid(), now(), now() - interval '1 minute', 'w', 1)`,
    );
    await query(database.url, `UPDATE workers SET types = '{other}', seen_at = clock_timestamp()`);
    const { code, by } = await findings();
    expect(code).toBe(1);
    expect(by.get('Leases')).toMatchObject({
      is: 'ill',
      seen: '1 of 1 have run out and nobody took them back',
    });
    expect(by.get('Workers')).toMatchObject({
      is: 'ill',
      seen: expect.stringContaining('none of them knows demo.sleep'),
    });
  }, 90_000);

  test('says when the database is not migrated, is not there, or was never made', async () => {
    const empty = await createEmptyDatabase();
    const { code, by } = await findings(empty.url);
    await empty.drop();
    expect([code, by.get('Migrations').is, by.has('Workers')]).toEqual([1, 'ill', false]);
    expect(by.get('Migrations').seen).toMatch(/^\d+ not applied yet: 2026/);
    const away = await findings('postgres://tally:secret@127.0.0.1:9/tally');
    expect([away.code, away.by.get('Database').is]).toEqual([1, 'ill']);
    expect(JSON.stringify([...away.by])).not.toContain('secret');
    const { code: none, out } = await tally({ DATA_DIR: '/nowhere/at/all' }, ['doctor']);
    expect([none, out]).toEqual([1, expect.stringContaining('Start the service once')]);
  }, 90_000);
});
