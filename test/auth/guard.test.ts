import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, test } from '@jest/globals';
import { FAILURES_PER_ADDRESS, FAILURES_PER_EMAIL } from '../../src/auth/throttle.js';
import { UsersStore } from '../../src/auth/users.store.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { basic, startAuthApp, type AuthApp } from './auth-support.js';

const ANN = {
  email: 'ann@example.com',
  account: 'acme',
  role: 'agent',
  password: 'correct: horse :',
} as const;
const ÉVA = {
  email: 'eva@example.com',
  account: 'globex',
  role: 'admin',
  password: 'Pässwörd 🐎 日本',
} as const;

let database: TestDatabase;
let setup: PrismaService;
let users: UsersStore;
let annsToken: string;
let app: AuthApp;

beforeAll(async () => {
  database = await createTestDatabase();
  setup = new PrismaService(database.url);
  users = new UsersStore(setup);
  await users.add(ANN);
  await users.add(ÉVA);
  annsToken = await users.createToken(ANN.email, 'test');
});

// An app a test: what it remembers and counts is its own.
beforeEach(async () => {
  app = await startAuthApp(new PrismaService(database.url));
});

afterEach(() => app.close());

afterAll(async () => {
  await setup.onModuleDestroy();
  await database.drop();
});

const get = (path: string, authorization?: string) => app.get(path, authorization);

async function expectUnauthorized(authorization?: string): Promise<void> {
  const answer = await get('/who', authorization);
  expect(answer.status).toBe(401);
  expect(await answer.json()).toMatchObject({ error: 'Unauthorized' });
  expect(answer.headers.get('www-authenticate')).toBe('Basic realm="Tally", charset="UTF-8"');
}

describe('a caller is known by', () => {
  test('email and password', async () => {
    const answer = await get('/who', basic(ANN.email, ANN.password));
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      userId: expect.any(Number),
      accountId: expect.any(Number),
      account: 'acme',
      email: 'ann@example.com',
      role: 'agent',
    });
  });

  test('email and API token', async () => {
    const answer = await get('/who', basic(`${ANN.email}/token`, annsToken));
    expect(await answer.json()).toMatchObject({ email: ANN.email, account: 'acme' });
  });

  test('a Bearer API token', async () => {
    const answer = await get('/who', `Bearer ${annsToken}`);
    expect(await answer.json()).toMatchObject({ email: ANN.email, account: 'acme' });
  });

  test('a password outside ASCII, also where another keyboard composed it', async () => {
    for (const form of ['NFC', 'NFD'] as const) {
      const answer = await get('/who', basic(ÉVA.email, ÉVA.password.normalize(form)));
      expect(await answer.json()).toMatchObject({ account: 'globex', role: 'admin' });
    }
  });

  test.each([
    ['a lower-case scheme', () => basic(ANN.email, ANN.password).replace('Basic', 'basic')],
    ['an upper-case scheme', () => basic(ANN.email, ANN.password).replace('Basic', 'BASIC')],
    ['an upper-case email', () => basic(ANN.email.toUpperCase(), ANN.password)],
    ['a lower-case Bearer', () => `bearer ${annsToken}`],
  ])('%s', async (_, header) => {
    expect(await (await get('/who', header())).json()).toMatchObject({ email: ANN.email });
  });
});

describe('nobody is let in by', () => {
  test.each([
    ['a wrong password', () => basic(ANN.email, 'wrong')],
    ['a password up to its first colon', () => basic(ANN.email, 'correct')],
    ['an unknown email', () => basic('nobody@example.com', ANN.password)],
    ['a token as a password', () => basic(ANN.email, annsToken)],
    ['a password as a token', () => basic(`${ANN.email}/token`, ANN.password)],
    ["another email's token", () => basic(`${ÉVA.email}/token`, annsToken)],
    ['an unknown Bearer token', () => `Bearer ${annsToken.slice(0, -1)}`],
    ['malformed base64', () => 'Basic %%%'],
    ['no colon', () => `Basic ${Buffer.from(ANN.email).toString('base64')}`],
    ['a NUL in the email', () => basic('ann\0@example.com', 'x')],
    ['an empty header', () => ''],
    ['a scheme alone', () => 'Basic'],
    ['another scheme', () => 'Digest username="ann@example.com"'],
  ])('%s', async (_, header) => {
    await expectUnauthorized(header());
  });

  test('a token in the query or the body', async () => {
    await expectUnauthorized();
    expect((await get(`/who?access_token=${annsToken}`)).status).toBe(401);
  });

  test('the password or token of a disabled user', async () => {
    await users.add({ ...ANN, email: 'gone@example.com' });
    const token = await users.createToken('gone@example.com', 'test');
    await users.disable('gone@example.com');
    await expectUnauthorized(basic('gone@example.com', ANN.password));
    await expectUnauthorized(basic('gone@example.com/token', token));
    await expectUnauthorized(`Bearer ${token}`);

    await users.enable('gone@example.com');
    expect((await get('/who', `Bearer ${token}`)).status).toBe(200);
  });

  test('a revoked token', async () => {
    await users.add({ ...ANN, email: 'careless@example.com' });
    const token = await users.createToken('careless@example.com', 'test');
    expect(await users.revokeTokens('careless@example.com')).toBe(1);
    await expectUnauthorized(`Bearer ${token}`);
  });
});

describe('the guard', () => {
  test('leaves public routes alone, whatever the header', async () => {
    expect(await (await get('/open')).text()).toBe('open');
    expect((await get('/open', 'Basic %%%')).status).toBe(200);
  });

  test('answers 429 with Retry-After after ten wrong passwords, while whoever is signed in goes on', async () => {
    await get('/who', basic(ANN.email, ANN.password));
    for (let i = 0; i < FAILURES_PER_EMAIL; i += 1) await expectUnauthorized(basic(ANN.email, `wrong ${i}`));

    const answer = await get('/who', basic(ANN.email, 'wrong'));
    expect(answer.status).toBe(429);
    expect(await answer.json()).toMatchObject({ error: 'TooManyRequests' });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await get('/who', basic(ANN.email, ANN.password))).status).toBe(200);
    expect((await get('/who', basic(ÉVA.email, ÉVA.password))).status).toBe(200);
  });

  test('answers 401 to missing and unreadable credentials, however many', async () => {
    for (let i = 0; i < FAILURES_PER_ADDRESS + 1; i += 1) {
      await expectUnauthorized();
      await expectUnauthorized('Basic %%%');
    }
    expect((await get('/who', basic(ANN.email, ANN.password))).status).toBe(200);
  });

  test('answers 503 while the database is away, and counts no failure', async () => {
    const away = await startAuthApp(new PrismaService('postgresql://localhost:1/nowhere'));
    const ask = () => away.get('/who', `Bearer ${annsToken}`);
    for (let i = 0; i < FAILURES_PER_ADDRESS + 1; i += 1) expect((await ask()).status).toBe(503);
    await away.close();
  });

  test('of one app does not let in the users of another in the same process', async () => {
    const other = await createTestDatabase();
    const otherApp = await startAuthApp(new PrismaService(other.url));
    const header = basic(ANN.email, ANN.password);
    expect((await get('/who', header)).status).toBe(200);
    expect((await otherApp.get('/who', header)).status).toBe(401);
    await otherApp.close();
    await other.drop();
    expect((await get('/who', basic(ÉVA.email, ÉVA.password))).status).toBe(200);
  });
});
