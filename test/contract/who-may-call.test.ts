import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { basic } from '../auth/auth-support.js';
import {
  expectError,
  JOBS,
  serve,
  sleepJob,
  STATUSES,
  submitted,
  type Served,
} from '../http/http-support.js';
import { PASSWORD, type Answer, type TestUser } from '../support/app.js';
import { jobPath, statusPath } from './contract-support.js';

let served: Served;
let submitter: TestUser;
let colleague: TestUser;
let admin: TestUser;
let stranger: TestUser;
beforeAll(async () => {
  served = await serve();
  submitter = served.user;
  colleague = await served.app.addUser('colleague@example.com');
  admin = await served.app.addUser('admin@example.com', 'main', 'admin');
  stranger = await served.app.addUser('stranger@example.com', 'other', 'admin');
});
afterAll(() => served.stop());

const as = (authorization: string, app = served.app): Promise<Answer> =>
  app.get(STATUSES, null, { authorization });
const act = (id: string, what: string, who: TestUser) => served.app.post(jobPath(id, what), who, undefined);
const remove = (id: string, who: TestUser) => served.app.call('DELETE', jobPath(id), who);

/** All that can be read of a job. */
const readsOf = (id: string) => [
  statusPath(id),
  jobPath(id),
  jobPath(id, 'results'),
  `/api/v2/jobs/${id}/results.ndjson`,
  `/api/v2/jobs/${id}/results.csv`,
];

describe('a caller says who it is', () => {
  test('by HTTP Basic with email and password', async () => {
    expect((await as(basic(submitter.email, PASSWORD))).status).toBe(200);
  });

  test('by HTTP Basic with email/token and an API token', async () => {
    const token = await served.app.addToken(submitter);
    expect((await as(basic(`${submitter.email}/token`, token))).status).toBe(200);
    expectError(await as(basic(`${colleague.email}/token`, token)), 401, 'Unauthorized');
  });

  test('by Bearer with an API token', async () => {
    expect((await as(`Bearer ${await served.app.addToken(submitter)}`)).status).toBe(200);
    expectError(await as('Bearer tally_nothing'), 401, 'Unauthorized');
  });
});

describe('a job', () => {
  test('can be read by every user of its account', async () => {
    const id = await submitted(served);
    for (const reader of [submitter, colleague, admin])
      for (const path of readsOf(id)) expect((await served.app.get(path, reader)).status).toBe(200);
    const { body } = await served.app.get(STATUSES, colleague);
    expect(body.job_statuses.map((status: { id: string }) => status.id)).toContain(id);
  });

  test('of another account is a 404, never a 403, whatever is asked', async () => {
    const id = await submitted(served);
    for (const path of [...readsOf(id), `/api/v2/jobs/${id}/events`])
      expectError(await served.app.get(path, stranger), 404, 'RecordNotFound');
    for (const what of ['kill', 'pause', 'resume', 'retry'])
      expectError(await act(id, what, stranger), 404, 'RecordNotFound');
    expectError(await remove(id, stranger), 404, 'RecordNotFound');
    const many = await served.app.get(`/api/v2/job_statuses/show_many.json?ids=${id}`, stranger);
    expect(many.body.job_statuses).toEqual([]);
    for (const list of [STATUSES, JOBS])
      expect((await served.app.get(list, stranger)).text).not.toContain(id);
  });

  test('is killed, paused, resumed, retried and deleted by its submitter', async () => {
    const id = await submitted(served);
    for (const what of ['pause', 'resume', 'kill'])
      expect([what, (await act(id, what, submitter)).status]).toEqual([what, 200]);
    expect((await act(id, 'retry', submitter)).status).toBe(202);
    expect((await remove(id, submitter)).status).toBe(204);
  });

  test('is killed, paused, resumed, retried and deleted by an admin of its account', async () => {
    const id = await submitted(served);
    for (const what of ['pause', 'resume', 'kill'])
      expect([what, (await act(id, what, admin)).status]).toEqual([what, 200]);
    expect((await act(id, 'retry', admin)).status).toBe(202);
    expect((await remove(id, admin)).status).toBe(204);
  });

  test('is left alone by other agents: each of these is a 403 for them', async () => {
    const id = await submitted(served);
    for (const what of ['kill', 'pause', 'resume', 'retry'])
      expectError(await act(id, what, colleague), 403, 'Forbidden');
    expectError(await remove(id, colleague), 403, 'Forbidden');
    expect((await served.app.get(jobPath(id), submitter)).body).toMatchObject({
      status: 'working',
      paused: false,
    });
  });
});

describe('secrets', () => {
  test('a password is kept as argon2id', async () => {
    const { passwordHash } = await served.app.prisma.user.findUniqueOrThrow({
      where: { id: submitter.userId },
    });
    expect(passwordHash).toMatch(/^\$argon2id\$v=19\$/);
  });

  test('a token is 256 random bits, of which the SHA-256 is kept', async () => {
    const token = await served.app.addToken(colleague);
    expect(Buffer.from(token.replace(/^tally_/, ''), 'base64url')).toHaveLength(32);
    const { hash } = await served.app.prisma.apiToken.findFirstOrThrow({
      where: { userId: colleague.userId },
    });
    expect(Buffer.from(hash)).toEqual(createHash('sha256').update(token).digest());
  });

  test('a wrong user and a wrong password are told the same', async () => {
    const [user, password] = [
      await as(basic('nobody@example.com', PASSWORD)),
      await as(basic(submitter.email, 'wrong password')),
    ];
    expectError(user, 401, 'Unauthorized');
    expect(user.text).toBe(password.text);
  });
});

describe('wrong credentials', () => {
  const statuses = (answers: readonly Answer[]) => answers.map((answer) => answer.status);
  const times = async (count: number, ask: (n: number) => Promise<Answer>): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (let n = 0; n < count; n += 1) answers.push(await ask(n));
    return answers;
  };

  test('are throttled per email, then per address; missing ones are a 401 however often', async () => {
    const { app, stop } = await serve();
    try {
      const ofOneEmail = await times(11, () => as(basic('victim@example.com', 'wrong'), app));
      expect(statuses(ofOneEmail)).toEqual([...Array<number>(10).fill(401), 429]);
      expectError(ofOneEmail[10]!, 429, 'TooManyRequests');
      expect(Number(ofOneEmail[10]!.headers.get('retry-after'))).toBeGreaterThan(0);

      const ofOneAddress = await times(30, (n) => as(basic(`user${n}@example.com`, 'wrong'), app));
      expect(statuses(ofOneAddress.slice(0, 5))).toEqual(Array(5).fill(401));
      expect(ofOneAddress.at(-1)!.status).toBe(429);

      const without = await times(40, () => app.post(JOBS, null, sleepJob()));
      expect(new Set(statuses(without))).toEqual(new Set([401]));
    } finally {
      await stop();
    }
  });
});
