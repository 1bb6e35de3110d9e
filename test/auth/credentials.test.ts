import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Presented } from '../../src/auth/authorization-header.js';
import { CredentialsService } from '../../src/auth/credentials.service.js';
import { CredentialsStore } from '../../src/auth/credentials.store.js';
import { PasswordVerifier } from '../../src/auth/passwords.js';
import type { Principal } from '../../src/auth/principal.js';
import { FAILURES_PER_ADDRESS, FAILURES_PER_EMAIL, Throttle } from '../../src/auth/throttle.js';
import { UsersStore } from '../../src/auth/users.store.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait-for.js';
import { TestClock } from './auth-support.js';

const EMAIL = 'ann@example.com';
const PASSWORD = 'correct horse';
const ADDRESS = '192.0.2.1';
const MINUTE_MS = 60_000;

let database: TestDatabase;
let prisma: PrismaService;
let users: UsersStore;
let passwords: PasswordVerifier;
let clock: TestClock;
let credentials: CredentialsService;

beforeAll(async () => {
  database = await createTestDatabase();
  prisma = new PrismaService(database.url);
  users = new UsersStore(prisma);
});

beforeEach(async () => {
  await prisma.user.deleteMany();
  await users.add({ email: EMAIL, account: 'acme', role: 'agent', password: PASSWORD });
  passwords = await PasswordVerifier.create();
  clock = new TestClock();
  credentials = new CredentialsService(new CredentialsStore(prisma), passwords, new Throttle(), clock);
});

afterAll(async () => {
  await prisma.onModuleDestroy();
  await database.drop();
});

/** What the guard does; each pair of email and password is a header of its own. */
function signIn(email: string, password: string, address = ADDRESS): Promise<Principal> {
  return credentials.verify(`${email}:${password}`, { kind: 'password', email, password }, address);
}

function useToken(token: string, email: string | null = null, address = ADDRESS): Promise<Principal> {
  const presented: Presented = { kind: 'token', email, token };
  return credentials.verify(`${email ?? ''} ${token}`, presented, address);
}

const unauthorized = { word: 'Unauthorized' };
const tooMany = { word: 'TooManyRequests' };

async function failTimes(times: number, attempt: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < times; i += 1) await expect(attempt(i)).rejects.toMatchObject(unauthorized);
}

describe('remembered credentials', () => {
  test('a password is compared once a minute, however often it is presented', async () => {
    for (let i = 0; i < 5; i += 1) await signIn(EMAIL, PASSWORD);
    clock.turn(MINUTE_MS - 1);
    await signIn(EMAIL, PASSWORD);
    expect(passwords.verifications).toBe(1);

    clock.turn(1);
    await signIn(EMAIL, PASSWORD);
    expect(passwords.verifications).toBe(2);
  });

  test('requests that arrive together share one comparison', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => signIn(EMAIL, PASSWORD)));
    expect(new Set(all.map(({ userId }) => userId)).size).toBe(1);
    expect(passwords.verifications).toBe(1);
  });

  test('a failure is not remembered', async () => {
    await failTimes(2, () => signIn(EMAIL, 'wrong'));
    expect(passwords.verifications).toBe(2);
    await users.setPassword(EMAIL, 'wrong no longer');
    await failTimes(1, () => signIn(EMAIL, PASSWORD));
    await signIn(EMAIL, 'wrong no longer');
  });

  test.each([
    ['a changed password', () => users.setPassword(EMAIL, 'another one')],
    ['a disabled user', () => users.disable(EMAIL)],
  ])('%s stops the old one within the minute', async (_, revoke) => {
    await signIn(EMAIL, PASSWORD);
    await revoke();
    clock.turn(MINUTE_MS);
    await expect(signIn(EMAIL, PASSWORD)).rejects.toMatchObject(unauthorized);
  });

  test('a revoked token stops within the minute', async () => {
    const token = await users.createToken(EMAIL, 'test');
    await useToken(token);
    await users.revokeTokens(EMAIL);
    await useToken(token);
    clock.turn(MINUTE_MS);
    await expect(useToken(token)).rejects.toMatchObject(unauthorized);
  });
});

describe('a wrong email and a wrong password', () => {
  test('cost the same: one run of argon2 each, as do a disabled user and one without a password', async () => {
    await users.add({ email: 'off@example.com', account: 'acme', role: 'agent', password: PASSWORD });
    await users.disable('off@example.com');
    await users.add({ email: 'tokens@example.com', account: 'acme', role: 'agent', password: PASSWORD });
    await prisma.user.update({ where: { email: 'tokens@example.com' }, data: { passwordHash: null } });

    for (const email of [EMAIL, 'nobody@example.com', 'off@example.com', 'tokens@example.com']) {
      const before = passwords.verifications;
      await expect(signIn(email, 'wrong')).rejects.toMatchObject({
        ...unauthorized,
        message: 'The credentials are not valid',
      });
      expect(passwords.verifications - before).toBe(1);
    }
  });
});

describe('throttling', () => {
  test('the eleventh wrong password of an email is not compared, from whatever address, nor is the right one', async () => {
    await failTimes(FAILURES_PER_EMAIL, (i) => signIn(EMAIL, `wrong ${i}`, `192.0.2.${i}`));
    const before = passwords.verifications;

    const refused = await signIn(EMAIL, PASSWORD, '192.0.2.77').catch((error: unknown) => error);
    expect(refused).toMatchObject(tooMany);
    const { retryAfterSeconds } = (refused as { data: { retryAfterSeconds: number } }).data;
    expect(retryAfterSeconds).toBeGreaterThan(0);
    expect(retryAfterSeconds).toBeLessThanOrEqual(60);
    expect(passwords.verifications).toBe(before);
  });

  test('an address that failed thirty times is refused, whatever it presents', async () => {
    const token = await users.createToken(EMAIL, 'test');
    await failTimes(FAILURES_PER_ADDRESS, (i) => useToken(`wrong${i}`));

    await expect(signIn(EMAIL, PASSWORD)).rejects.toMatchObject(tooMany);
    await expect(useToken(token)).rejects.toMatchObject(tooMany);
    await expect(useToken(token, null, '192.0.2.2')).resolves.toMatchObject({ email: EMAIL });
  });

  test('wrong tokens count against the email that they come with, but a right one always passes', async () => {
    const token = await users.createToken(EMAIL, 'test');
    await failTimes(FAILURES_PER_EMAIL, (i) => useToken(`wrong${i}`, EMAIL));

    await expect(useToken('wrong again', EMAIL)).rejects.toMatchObject(tooMany);
    await expect(useToken(token, EMAIL)).resolves.toMatchObject({ email: EMAIL });
  });

  test('success counts for nothing', async () => {
    for (let i = 0; i < FAILURES_PER_EMAIL + 5; i += 1) {
      await signIn(EMAIL, PASSWORD);
      clock.turn(MINUTE_MS);
    }
    expect(passwords.verifications).toBe(FAILURES_PER_EMAIL + 5);
  });

  test('a client that has signed in is not locked out by the guesses of others, not even after its minute', async () => {
    await signIn(EMAIL, PASSWORD);
    await failTimes(FAILURES_PER_EMAIL, (i) => signIn(EMAIL, `wrong ${i}`));
    await expect(signIn(EMAIL, 'wrong again')).rejects.toMatchObject(tooMany);

    await signIn(EMAIL, PASSWORD);
    clock.turn(MINUTE_MS);
    await signIn(EMAIL, PASSWORD);
  });

  test('guesses that arrive together are not all compared', async () => {
    const guesses = Array.from({ length: 40 }, (_, i) => signIn(EMAIL, `wrong ${i}`, `192.0.2.${i}`));
    const words = (await Promise.allSettled(guesses)).map(
      (guess) => guess.status === 'rejected' && (guess.reason as { word: string }).word,
    );
    // Those that are in argon2 when the tenth fails are finished; the others are not begun.
    expect(passwords.verifications).toBeLessThanOrEqual(FAILURES_PER_EMAIL + 1);
    expect(words.filter((word) => word === 'TooManyRequests').length).toBe(40 - passwords.verifications);
  });
});

describe('a flood of strangers', () => {
  test('waits in a line of at most a hundred; a client that has signed in before does not wait in it', async () => {
    await signIn(EMAIL, PASSWORD);
    clock.turn(MINUTE_MS);
    const flood = Array.from({ length: 150 }, (_, i) =>
      signIn(`nobody${i}@example.com`, 'wrong', `198.51.100.${i}`).catch((error: unknown) => error),
    );
    // The line is full as soon as the first of it has had its turn.
    await waitFor(() => passwords.verifications > 1);
    await signIn(EMAIL, PASSWORD);
    expect(passwords.verifications).toBeLessThan(50);

    const answers = (await Promise.all(flood)) as { word: string }[];
    const refused = answers.filter(({ word }) => word === 'TooManyRequests');
    // A hundred in the line, and up to two that had left it for argon2 when the others came.
    expect(refused.length).toBeGreaterThanOrEqual(48);
    expect(refused.length).toBeLessThanOrEqual(50);
    expect(refused[0]).toMatchObject({ data: { retryAfterSeconds: 1 } });
  });
});
