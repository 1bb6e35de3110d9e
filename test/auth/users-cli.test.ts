import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { CredentialsStore } from '../../src/auth/credentials.store.js';
import { PasswordVerifier } from '../../src/auth/passwords.js';
import type { NewUser } from '../../src/auth/user.schemas.js';
import { UsersStore } from '../../src/auth/users.store.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const ANN: NewUser = { email: 'ann@example.com', account: 'acme', role: 'agent', password: 'correct horse' };

let database: TestDatabase;
let prisma: PrismaService;
let users: UsersStore;
let passwords: PasswordVerifier;

beforeAll(async () => {
  database = await createTestDatabase();
  prisma = new PrismaService(database.url);
  users = new UsersStore(prisma);
  passwords = await PasswordVerifier.create();
});

beforeEach(async () => {
  await prisma.user.deleteMany();
  await prisma.account.deleteMany();
});

afterAll(async () => {
  await prisma.onModuleDestroy();
  await database.drop();
});

/** Runs what `npm run user` runs: the build, which `npm test` makes first. */
async function user(args: readonly string[], stdin = '', env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['dist/users.cli.js', ...args], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], DATABASE_URL: database.url, ...env },
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { code, out, err };
}

async function passwordIs(email: string, password: string): Promise<boolean> {
  const found = await prisma.user.findUniqueOrThrow({ where: { email } });
  return passwords.matches(found.passwordHash, password);
}

describe('npm run user', () => {
  test('add makes the account and the user, and prints the generated password alone', async () => {
    const { code, out, err } = await user(['add', 'Ann@Example.com', '--account', 'acme', '--role', 'admin']);
    expect(err).toContain('Added the admin ann@example.com to the account acme.');
    expect(code).toBe(0);
    expect(out).toMatch(/^[\w-]{20}\n$/);
    expect(await passwordIs('ann@example.com', out.trim())).toBe(true);
    const { role, account } = await prisma.user.findFirstOrThrow({ include: { account: true } });
    expect({ role, account: account.subdomain }).toEqual({ role: 'admin', account: 'acme' });
  });

  test('password takes another one from standard input, and prints nothing secret', async () => {
    await users.add(ANN);
    const { code, out, err } = await user(['password', ANN.email, '--password-stdin'], 'pass: wörd \n');
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).not.toContain('wörd');
    expect(await passwordIs(ANN.email, 'pass: wörd ')).toBe(true);
  });

  test('token prints one that works; disable and revoke stop it', async () => {
    await users.add(ANN);
    const token = (await user(['token', ANN.email])).out.trim();
    const store = new CredentialsStore(prisma);
    expect(await store.principalOfToken(token, null)).toMatchObject({ email: ANN.email, account: 'acme' });

    expect((await user(['disable', ANN.email])).code).toBe(0);
    expect(await store.principalOfToken(token, null)).toBeNull();
    expect((await user(['enable', ANN.email])).code).toBe(0);
    expect(await store.principalOfToken(token, null)).not.toBeNull();
    expect((await user(['revoke', ANN.email])).err).toContain('revoked: 1');
    expect(await store.principalOfToken(token, null)).toBeNull();
  });

  test('--help says how', async () => {
    const { code, out, err } = await user(['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('npm run user -- add EMAIL [--account SUBDOMAIN] [--role admin|agent]');
  });

  test('wrong usage is one sentence and exit code 2, before any database is opened', async () => {
    expect(await user(['add', 'ann'])).toEqual({
      code: 2,
      out: '',
      err: 'email: expected an email address (--help says more)\n',
    });
  });

  test('a failure is one sentence and exit code 1', async () => {
    await users.add(ANN);
    const [taken, short, unusable] = await Promise.all([
      user(['add', ANN.email]),
      user(['add', 'bob@example.com', '--password-stdin'], 'short'),
      user(['add', 'bob@example.com'], '', { PORT: 'x' }),
    ]);
    expect(taken).toEqual({ code: 1, out: '', err: 'There is already a user ann@example.com\n' });
    expect(short).toEqual({ code: 1, out: '', err: 'password: expected at least 8 characters\n' });
    expect(unusable).toMatchObject({ code: 1, out: '' });
    expect(unusable.err).toMatch(/^The configuration cannot be used: PORT: .*\n$/);
  });
});
