import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { CredentialsStore } from '../../src/auth/credentials.store.js';
import { PasswordVerifier } from '../../src/auth/passwords.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { createTestDatabase } from '../support/database.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let prisma: PrismaService;
let passwords: PasswordVerifier;

beforeAll(async () => {
  database = await createTestDatabase();
  prisma = new PrismaService(database.url);
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

/** Runs the command line from its source, so that no stale build can answer. */
async function user(args: readonly string[], stdin = '', env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/users.cli.ts', ...args], {
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
    expect({ code, err }).toMatchObject({
      code: 0,
      err: expect.stringContaining('Added the admin ann@example.com to the account acme.'),
    });
    expect(out).toMatch(/^[\w-]{20}\n$/);
    expect(await passwordIs('ann@example.com', out.trim())).toBe(true);
    const { role, account } = await prisma.user.findFirstOrThrow({ include: { account: true } });
    expect({ role, account: account.subdomain }).toEqual({ role: 'admin', account: 'acme' });
  });

  test('add takes the password from standard input, and prints nothing secret', async () => {
    const { code, out, err } = await user(['add', 'ann@example.com', '--password-stdin'], 'pass: wörd \n');
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).not.toContain('wörd');
    expect(await passwordIs('ann@example.com', 'pass: wörd ')).toBe(true);
  });

  test('password gives another one, token one that works, disable and revoke stop it', async () => {
    await user(['add', 'ann@example.com']);
    const changed = await user(['password', 'ann@example.com', '--password-stdin'], 'another password');
    expect(changed).toMatchObject({ code: 0, out: '' });
    expect(await passwordIs('ann@example.com', 'another password')).toBe(true);

    const token = (await user(['token', 'ann@example.com'])).out.trim();
    const store = new CredentialsStore(prisma);
    expect(await store.principalOfToken(token, null)).toMatchObject({
      email: 'ann@example.com',
      account: 'main',
    });
    expect((await user(['disable', 'ann@example.com'])).code).toBe(0);
    expect(await store.principalOfToken(token, null)).toBeNull();
    expect((await user(['enable', 'ann@example.com'])).code).toBe(0);
    expect(await store.principalOfToken(token, null)).not.toBeNull();
    expect((await user(['revoke', 'ann@example.com'])).err).toContain('revoked: 1');
    expect(await store.principalOfToken(token, null)).toBeNull();
  });

  test('--help says how', async () => {
    const { code, out, err } = await user(['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('npm run user -- add EMAIL [--account SUBDOMAIN] [--role admin|agent]');
  });

  test.each([
    [[], 'expected a command'],
    [['rename', 'ann@example.com'], 'got: rename'],
    [['constructor', 'ann@example.com'], 'got: constructor'],
    [['add'], 'add needs an EMAIL'],
    [['add', 'ann'], 'email: expected an email address'],
    [['add', 'ann@example.com', 'bob@example.com'], 'got also: bob@example.com'],
    [['add', 'ann@example.com', '--role', 'owner'], 'role: expected admin or agent'],
    [['add', 'ann@example.com', '--account', 'Acme'], 'account: expected'],
    [['add', 'ann@example.com', '--password', 'secret'], "Unknown option '--password'"],
    [['token', 'ann@example.com', '--role', 'admin'], 'token takes no --role'],
  ])('%j is wrong usage: one sentence and exit code 2', async (args, sentence) => {
    const { code, out, err } = await user(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(sentence);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  test.each([
    [['token', 'nobody@example.com'], '', {}, 'There is no user nobody@example.com'],
    [['add', 'taken@example.com'], '', {}, 'There is already a user taken@example.com'],
    [['add', 'ann@example.com', '--password-stdin'], 'short', {}, 'password: expected at least 8 characters'],
    [['add', 'ann@example.com'], '', { PORT: 'x' }, 'PORT: expected a whole number'],
  ])('%j fails with one sentence and exit code 1', async (args, stdin, env, sentence) => {
    await prisma.account.create({
      data: { subdomain: 'acme', users: { create: { email: 'taken@example.com' } } },
    });
    const { code, out, err } = await user(args, stdin, env);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err.trim().split('\n').at(-1)).toContain(sentence);
  });
});
