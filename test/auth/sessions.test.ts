import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { CredentialsService } from '../../src/auth/credentials.service.js';
import { CredentialsStore } from '../../src/auth/credentials.store.js';
import { PasswordVerifier } from '../../src/auth/passwords.js';
import { SessionsService } from '../../src/auth/sessions.service.js';
import { SessionsStore } from '../../src/auth/sessions.store.js';
import { FAILURES_PER_EMAIL, Throttle } from '../../src/auth/throttle.js';
import { UsersStore } from '../../src/auth/users.store.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { expectError, expectInvalid, JOBS, serve, sleepJob, type Served } from '../http/http-support.js';
import { PASSWORD, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestClock } from './auth-support.js';
import { cookieOf, SESSION, signedIn, signIn } from './session-support.js';

const TOKEN = /^tally_session=[A-Za-z0-9_-]{43}$/;

describe('a browser', () => {
  let served: Served;
  let user: TestUser;
  beforeAll(async () => {
    served = await serve();
    ({ user } = served);
  });
  afterAll(() => served.stop());

  const ask = (method: string, path: string, cookie: string, body?: unknown) =>
    served.app.call(method, path, null, body, { cookie });

  test('signs in with email and password, and is told who it is', async () => {
    const answer = await signIn(served.app, user);
    expect([answer.status, answer.body]).toEqual([
      200,
      { user: { email: user.email, role: 'agent', account: 'main' } },
    ]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const shown = await ask('GET', SESSION, cookieOf(answer));
    expect([shown.status, shown.body]).toEqual([200, answer.body]);
    expect(shown.headers.get('cache-control')).toBe('no-store');
  });

  test('gets a cookie that no script sees, that no other site sends, and that lasts for 12 hours', async () => {
    const answer = await signIn(served.app, user);
    const [cookie, ...flags] = answer.headers.get('set-cookie')!.split('; ');
    expect(cookie).toMatch(TOKEN);
    expect(flags.sort()).toEqual(['HttpOnly', 'Max-Age=43200', 'Path=/', 'SameSite=Strict']);
  });

  test('gets a cookie for https alone where the service is reached by https', async () => {
    const own = await serve({ env: { PUBLIC_URL: 'https://tally.example.com' } });
    const answer = await signIn(own.app, own.user);
    const ended = await own.app.call('DELETE', SESSION, null, undefined, { cookie: cookieOf(answer) });
    await own.stop();
    for (const { headers } of [answer, ended]) expect(headers.get('set-cookie')).toMatch(/; Secure(;|$)/);
  });

  test('is known by the cookie on every route of the API, also where it brings a body', async () => {
    const cookie = await signedIn(served.app, user);
    const made = await ask('POST', JOBS, cookie, sleepJob());
    expect(made.status).toBe(202);
    const shown = await ask('GET', `/api/v2/jobs/${made.body.id}.json`, cookie);
    expect([shown.status, shown.body.created_by]).toEqual([200, user.email]);
    const other = await served.app.addUser('bo@example.org', 'globex');
    const foreign = await ask('GET', `/api/v2/jobs/${made.body.id}.json`, await signedIn(served.app, other));
    expectError(foreign, 404, 'RecordNotFound');
  });

  test('is who has signed in on the page, not who once typed into its dialog for Basic credentials', async () => {
    const other = await served.app.addUser('cy@example.org', 'initech');
    const cookie = await signedIn(served.app, user);
    const made = await served.app.post(JOBS, other, sleepJob(), { cookie });
    const seen = await ask('GET', `/api/v2/jobs/${made.body.id}.json`, cookie);
    expect(seen.body.created_by).toBe(user.email);
  });

  test('is nobody after signing out, and its cookie is taken back', async () => {
    const cookie = await signedIn(served.app, user);
    expect((await ask('GET', JOBS, cookie)).status).toBe(200);
    const ended = await ask('DELETE', SESSION, cookie);
    expect([ended.status, ended.text]).toEqual([204, '']);
    expect(ended.headers.get('set-cookie')).toMatch(/^tally_session=; Max-Age=0; Path=\/; HttpOnly/);
    expectError(await ask('GET', SESSION, cookie), 401, 'Unauthorized');
    expectError(await ask('GET', JOBS, cookie), 401, 'Unauthorized');
    expect((await served.app.call('DELETE', SESSION, null)).status).toBe(204);
  });

  test('gets a new session with each sign-in, whatever cookie it came with, and the one before ends', async () => {
    const planted = await signedIn(served.app, user);
    const victim = await served.app.addUser('vic@example.org', 'main');
    const cookie = cookieOf(await signIn(served.app, victim, { cookie: planted }));
    expect(cookie).not.toBe(planted);
    expectError(await ask('GET', SESSION, planted), 401, 'Unauthorized');
    const made = cookieOf(await signIn(served.app, user, { cookie: `tally_session=${'A'.repeat(43)}` }));
    expect(made).not.toBe(`tally_session=${'A'.repeat(43)}`);
  });

  test('keeps its secret from the database, which has the SHA-256 alone', async () => {
    const cookie = await signedIn(served.app, user);
    const hash = createHash('sha256').update(cookie.split('=')[1]!).digest();
    expect(await served.app.prisma.session.count({ where: { hash: new Uint8Array(hash) } })).toBe(1);
  });

  test('is not asked for Basic credentials when it is nobody', async () => {
    const wrong = { email: user.email, password: 'wrong' };
    for (const answer of [
      await served.app.get(SESSION, null),
      await served.app.get(SESSION, user),
      await served.app.post(SESSION, null, wrong),
      await ask('GET', JOBS, `tally_session=${'A'.repeat(43)}`),
    ]) {
      expectError(answer, 401, 'Unauthorized');
      expect(answer.headers.get('www-authenticate')).toBeNull();
    }
  });

  test('is told which field of the form is missing or wrong', async () => {
    const post = (body: unknown) => served.app.post(SESSION, null, body);
    expectInvalid(await post({}), 'email', 'password');
    expectInvalid(await post({ email: 'x', password: 'y' }), 'email');
    expectInvalid(await post({ email: user.email, password: PASSWORD, remember: true }), 'remember');
    expectInvalid(await post(undefined), 'body');
    const text = await served.app.post(SESSION, null, `email=${user.email}`, {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expectError(text, 415, 'UnsupportedMediaType');
  });
});

describe('a session', () => {
  const ADDRESS = '192.0.2.1';
  const EMAIL = 'ann@example.com';
  const unauthorized = { word: 'Unauthorized' };
  let database: TestDatabase;
  let prisma: PrismaService;
  let users: UsersStore;
  let clock: TestClock;
  let sessions: SessionsService;
  let credentials: CredentialsService;

  beforeAll(async () => {
    database = await createTestDatabase();
    prisma = new PrismaService(database.url);
    users = new UsersStore(prisma);
  });
  afterAll(async () => {
    await prisma.onModuleDestroy();
    await database.drop();
  });
  beforeEach(async () => {
    await prisma.user.deleteMany();
    await users.add({ email: EMAIL, account: 'acme', role: 'agent', password: PASSWORD });
    clock = new TestClock();
    const store = new CredentialsStore(prisma);
    credentials = new CredentialsService(store, await PasswordVerifier.create(), new Throttle(), clock);
    sessions = new SessionsService(credentials, store, new SessionsStore(prisma));
  });

  const begin = (password = PASSWORD) => sessions.begin({ email: EMAIL, password }, null, ADDRESS);
  const show = (token: string) => sessions.show(token, ADDRESS);
  const minute = () => clock.turn(60_000);
  const expire = () => prisma.$executeRaw`
    UPDATE sessions SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'`;

  test('is verified once a minute, and ends by the clock of Postgres', async () => {
    const { token } = await begin();
    expect(await show(token)).toMatchObject({ email: EMAIL, account: 'acme' });
    await expire();
    expect(await show(token)).toMatchObject({ email: EMAIL });
    minute();
    await expect(show(token)).rejects.toMatchObject(unauthorized);
  });

  test.each<[string, () => Promise<void>]>([
    ['is disabled', () => users.disable(EMAIL)],
    ['gets another password', () => users.setPassword(EMAIL, 'another password')],
  ])('ends within a minute when its user %s, for good', async (_, change) => {
    const { token } = await begin();
    await show(token);
    await change();
    expect(await prisma.session.count()).toBe(0);
    minute();
    await expect(show(token)).rejects.toMatchObject(unauthorized);
    await users.enable(EMAIL);
    await expect(show(token)).rejects.toMatchObject(unauthorized);
  });

  test('outlives what changes nothing of its password', async () => {
    const { token } = await begin();
    await prisma.user.update({ where: { email: EMAIL }, data: { role: 'admin' } });
    minute();
    expect(await show(token)).toMatchObject({ role: 'admin' });
  });

  test('is not begun with a password that was right a moment ago', async () => {
    await begin();
    await users.setPassword(EMAIL, 'another password');
    await expect(begin()).rejects.toMatchObject(unauthorized);
    expect(await prisma.session.count()).toBe(0);
  });

  test('is not begun when its user is disabled or changed between the comparison and the row', async () => {
    const user = await prisma.user.findUniqueOrThrow({ where: { email: EMAIL } });
    const store = new SessionsStore(prisma);
    expect(await store.begin({ ...user, passwordHash: 'old' }, 60)).toBeNull();
    await users.disable(EMAIL);
    expect(await store.begin(user, 60)).toBeNull();
  });

  test('that begins while its password is being changed ends with the others, or never begins', async () => {
    const user = await prisma.user.findUniqueOrThrow({ where: { email: EMAIL } });
    const store = new SessionsStore(prisma);
    let begun: Promise<string | null> | undefined;
    await prisma.$transaction(async (transaction) => {
      await transaction.user.update({ where: { email: EMAIL }, data: { passwordHash: 'new' } });
      begun = store.begin(user, 60);
      begun.catch(() => undefined);
    });
    expect(await begun).toBeNull();
    expect(await prisma.session.count()).toBe(0);
  });

  test('of a user is one of at most 20, and expired ones are swept with the next sign-in', async () => {
    await begin();
    await expire();
    const first = await begin();
    expect(await prisma.session.count()).toBe(1);
    for (let n = 0; n < 20; n += 1) await begin();
    expect(await prisma.session.count()).toBe(20);
    await expect(show(first.token)).rejects.toMatchObject(unauthorized);
  });

  test('cannot be guessed at without end: wrong passwords are throttled as everywhere', async () => {
    for (let n = 0; n < FAILURES_PER_EMAIL; n += 1)
      await expect(begin('wrong')).rejects.toMatchObject(unauthorized);
    await expect(begin()).rejects.toMatchObject({ word: 'TooManyRequests' });
  });

  test('can be begun by who has before, however many guess meanwhile', async () => {
    await begin();
    for (let n = 0; n < FAILURES_PER_EMAIL; n += 1)
      await expect(begin('wrong')).rejects.toMatchObject(unauthorized);
    expect((await begin()).principal.email).toBe(EMAIL);
  });

  test('that has ended does not count as a guess, however many pages go on asking', async () => {
    for (let n = 0; n < 100; n += 1) await expect(show('A'.repeat(43))).rejects.toMatchObject(unauthorized);
    expect((await begin()).principal.email).toBe(EMAIL);
  });

  test('of a disabled user cannot be begun, and counts as a guess', async () => {
    await users.disable(EMAIL);
    for (let n = 0; n < FAILURES_PER_EMAIL; n += 1) await expect(begin()).rejects.toMatchObject(unauthorized);
    await expect(begin()).rejects.toMatchObject({ word: 'TooManyRequests' });
  });
});
