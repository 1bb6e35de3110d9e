import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { parseOptions } from '@node-rs/argon2';
import { createHash } from 'node:crypto';
import { ensureFirstAdmin, FIRST_ADMIN_LOCK } from '../../src/auth/bootstrap.js';
import { PasswordVerifier } from '../../src/auth/passwords.js';
import type { NewUser } from '../../src/auth/user.schemas.js';
import { UsersStore } from '../../src/auth/users.store.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait-for.js';

const ANN: NewUser = { email: 'ann@example.com', account: 'acme', role: 'agent', password: 'correct horse' };

let database: TestDatabase;
let prisma: PrismaService;
let users: UsersStore;

beforeAll(async () => {
  database = await createTestDatabase();
  prisma = new PrismaService(database.url);
  users = new UsersStore(prisma);
});

beforeEach(async () => {
  await prisma.user.deleteMany();
  await prisma.account.deleteMany();
});

afterAll(async () => {
  await prisma.onModuleDestroy();
  await database.drop();
});

const isRight = async (email: string, password: string): Promise<boolean> => {
  const user = await prisma.user.findUniqueOrThrow({ where: { email } });
  return (await PasswordVerifier.create()).matches(user.passwordHash, password);
};

async function waitingForLock(): Promise<number> {
  const rows = await prisma.$queryRaw<{ waiting: number }[]>`
    SELECT count(*)::int AS waiting FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted`;
  return rows[0]?.waiting ?? 0;
}

describe('the users', () => {
  test('share an account that the first of them makes', async () => {
    await users.add(ANN);
    await users.add({ ...ANN, email: 'Bob@Example.com' });
    expect(await prisma.account.findMany({ select: { subdomain: true } })).toEqual([{ subdomain: 'acme' }]);
    expect(
      await prisma.user.count({ where: { email: 'bob@example.com', account: { subdomain: 'acme' } } }),
    ).toBe(1);
  });

  test('have their passwords stored as argon2id, at the OWASP setting', async () => {
    await users.add(ANN);
    const { passwordHash } = await prisma.user.findUniqueOrThrow({ where: { email: ANN.email } });
    expect(passwordHash).toMatch(/^\$argon2id\$/);
    expect(parseOptions(passwordHash ?? '')).toMatchObject({
      memoryCost: 19_456,
      timeCost: 2,
      parallelism: 1,
    });
  });

  test('have their tokens stored as SHA-256 of 256 random bits', async () => {
    await users.add(ANN);
    const token = await users.createToken(ANN.email, 'laptop');
    expect(Buffer.from(token.replace(/^tally_/, ''), 'base64url')).toHaveLength(32);
    const stored = await prisma.apiToken.findFirstOrThrow();
    expect(Buffer.from(stored.hash)).toEqual(createHash('sha256').update(token).digest());
    expect(stored.name).toBe('laptop');
  });

  test('are not added twice, in whatever case', async () => {
    await users.add(ANN);
    await expect(users.add({ ...ANN, email: 'ANN@example.com', account: 'globex' })).rejects.toMatchObject({
      word: 'RecordInvalid',
      message: 'There is already a user ann@example.com',
    });
    // The account would have been made with the user.
    expect(await prisma.account.count()).toBe(1);
  });

  test.each<[Partial<Record<keyof NewUser, string>>, string]>([
    [{ email: 'ann' }, 'expected an email address'],
    [{ email: `${'a'.repeat(250)}@example.com` }, 'expected an email address of at most 254 characters'],
    [{ account: 'Acme' }, 'expected at most 63 lower-case letters, digits and inner hyphens'],
    [{ account: '-acme' }, 'expected at most 63 lower-case letters, digits and inner hyphens'],
    [{ role: 'owner' }, 'expected admin or agent'],
    [{ password: 'short' }, 'expected at least 8 characters'],
    [{ password: 'two\nlines of it' }, 'expected one line without control characters and lone surrogates'],
  ])('are refused with %j', async (bad, description) => {
    const field = Object.keys(bad)[0];
    await expect(users.add({ ...ANN, ...(bad as Partial<NewUser>) })).rejects.toMatchObject({
      word: 'RecordInvalid',
      data: { fields: [{ field, description }] },
    });
    expect(await prisma.account.count()).toBe(0);
  });

  test('that are disabled keep the time when they were, and get no token', async () => {
    await users.add(ANN);
    await users.disable(ANN.email);
    const first = await prisma.user.findUniqueOrThrow({ where: { email: ANN.email } });
    await users.disable('ANN@example.com');
    const second = await prisma.user.findUniqueOrThrow({ where: { email: ANN.email } });
    expect(first.disabledAt).toBeInstanceOf(Date);
    expect(second.disabledAt).toEqual(first.disabledAt);
    await expect(users.createToken(ANN.email, 'x')).rejects.toThrow('The user ann@example.com is disabled');
  });

  test('who are unknown are said to be', async () => {
    const unknown = { word: 'RecordNotFound', message: 'There is no user nobody@example.com' };
    const email = 'Nobody@example.com';
    await expect(users.setPassword(email, 'correct horse')).rejects.toMatchObject(unknown);
    await expect(users.disable(email)).rejects.toMatchObject(unknown);
    await expect(users.enable(email)).rejects.toMatchObject(unknown);
    await expect(users.createToken(email, 'x')).rejects.toMatchObject(unknown);
    await expect(users.revokeTokens(email)).rejects.toMatchObject(unknown);
  });

  test('are refused by the database itself when a rule is broken', async () => {
    await users.add(ANN);
    const { id: accountId } = await prisma.account.findFirstOrThrow();
    const broken = (rule: string) =>
      expect.objectContaining({ message: expect.stringContaining(rule) as unknown });
    await expect(prisma.account.create({ data: { subdomain: 'Acme' } })).rejects.toEqual(
      broken('subdomain_is_a_label'),
    );
    await expect(prisma.user.create({ data: { accountId, email: 'A@b.c' } })).rejects.toEqual(
      broken('email_is_lower_case'),
    );
    await expect(prisma.user.create({ data: { accountId, email: 'a@b.c', role: 'owner' } })).rejects.toEqual(
      broken('role_is_known'),
    );
    const { id: userId } = await prisma.user.findFirstOrThrow();
    await expect(
      prisma.apiToken.create({ data: { userId, name: 'short', hash: new Uint8Array(31) } }),
    ).rejects.toEqual(broken('hash_is_sha256'));
  });
});

/** For a transaction that waits for other processes, in milliseconds. */
const PATIENT = { timeout: 20_000 };

describe('the first admin', () => {
  test('is made in the account main, with a password that is told once', async () => {
    const admin = await ensureFirstAdmin(prisma, { email: 'Admin@example.com' });
    expect(admin).toEqual({ email: 'admin@example.com', account: 'main', password: expect.any(String) });
    expect(await isRight('admin@example.com', admin?.password ?? '')).toBe(true);
    expect(await prisma.user.findFirst({ select: { role: true } })).toEqual({ role: 'admin' });
    expect(await ensureFirstAdmin(prisma, { email: 'admin@example.com' })).toBeNull();
  });

  test('has the password that was given, which is not told', async () => {
    const admin = await ensureFirstAdmin(prisma, { email: 'admin@example.com', password: 'given in secret' });
    expect(admin).toEqual({ email: 'admin@example.com', account: 'main' });
    expect(await isRight('admin@example.com', 'given in secret')).toBe(true);
  });

  test('is made once when several processes start together', async () => {
    const processes = [1, 2, 3].map(() => new PrismaService(database.url));
    const starting = await prisma.$transaction(async (holder) => {
      // Holds the door shut until all of them stand before it: each has seen that there is no user.
      await holder.$queryRaw`SELECT pg_advisory_xact_lock(${FIRST_ADMIN_LOCK})::text`;
      // Emails that differ, so that their key alone could not keep the second one out.
      const made = processes.map((one, i) => ensureFirstAdmin(one, { email: `admin${i}@example.com` }));
      await waitFor(async () => (await waitingForLock()) === processes.length);
      return { made };
    }, PATIENT);
    const made = await Promise.all(starting.made);
    expect(made.filter((admin) => admin !== null)).toHaveLength(1);
    expect(await prisma.user.count()).toBe(1);
    await Promise.all(processes.map((one) => one.onModuleDestroy()));
  });

  test('is not made where there are users', async () => {
    await users.add(ANN);
    expect(await ensureFirstAdmin(prisma, { email: 'admin@example.com' })).toBeNull();
    expect(await prisma.user.count()).toBe(1);
  });

  test('is refused with a password that HTTP Basic cannot carry', async () => {
    await expect(
      ensureFirstAdmin(prisma, { email: 'admin@example.com', password: 'with\ttabulator' }),
    ).rejects.toMatchObject({ word: 'RecordInvalid' });
  });
});
