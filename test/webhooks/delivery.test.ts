import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { failed, succeeded } from '../../src/jobs/task-handler.js';
import { SEVEN_KEYS } from '../http/http-support.js';
import { TestApp, type Answer as ApiAnswer, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { single, tasks } from '../support/handlers.js';
import { freePort } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';
import { CALLBACKS, Receiver, SECRET, status, verified, type Answer } from './receiver.js';

let database: TestDatabase;
let apps: TestApp[] = [];
let receivers: Receiver[] = [];
let user: TestUser | undefined;

beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await Promise.all([...apps.map((app) => app.stop()), ...receivers.map((receiver) => receiver.stop())]);
  apps = [];
  receivers = [];
  user = undefined;
  await database.drop();
});

/** Tasks whose n is negative fail; whose n is over 1,000 never end by themselves. */
const HANDLER = single(async ({ n }, { signal }) => {
  if (n > 1_000) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  return n < 0 ? failed('Broken', 'broken', { retry: false }) : succeeded({ n });
});
const ENDLESS = [{ n: 1_001 }];

async function start(env: Record<string, string> = {}): Promise<TestApp> {
  const options = { env: { ...CALLBACKS, DRAIN_SECONDS: '0', ...env }, handlers: [HANDLER] };
  const app = await TestApp.start(database.url, options);
  apps.push(app);
  user ??= await app.addUser();
  return app;
}

async function receive(answer?: Answer, port?: number): Promise<Receiver> {
  const receiver = await Receiver.start(answer, port);
  receivers.push(receiver);
  return receiver;
}

async function submit(app: TestApp, url: string, more: object = {}): Promise<string> {
  const body = { type: 'test.task', tasks: tasks(2), callback_url: url, ...more };
  const answer = await app.post('/api/v2/jobs.json', user!, body);
  expect(answer.status).toBe(202);
  return answer.body.id as string;
}

const statusOf = (app: TestApp, id: string): Promise<ApiAnswer> =>
  app.get(`/api/v2/job_statuses/${id}.json`, user!);

const callbackOf = async (app: TestApp, id: string) =>
  (await app.get(`/api/v2/jobs/${id}`, user!)).body.callback;

/** Once it says so. */
const callbackIs = (app: TestApp, id: string, expected: object) =>
  waitFor(
    async () => {
      const callback = await callbackOf(app, id);
      return Object.entries(expected).every(([key, value]) => callback[key] === value) && callback;
    },
    { what: `the callback to be ${JSON.stringify(expected)}` },
  );

/** As if the time to the next try were over. */
const passTime = (app: TestApp) =>
  app.prisma
    .$executeRaw`UPDATE job_callbacks SET due_at = clock_timestamp() WHERE state = 'pending' AND due_at IS NOT NULL`;

describe('the end of a job is told once, signed, with its status', () => {
  test.each<[string, string, object]>([
    ['completed', 'completed', {}],
    ['completed with a failed task', 'completed', { tasks: [{ n: -1 }, { n: 1 }] }],
    ['failed by max_failures', 'failed', { tasks: [{ n: -1 }, { n: -1 }], max_failures: 0 }],
    ['killed', 'killed', { tasks: ENDLESS }],
    ['failed by its deadline', 'failed', { tasks: ENDLESS, deadline: 'soon' }],
  ])('when it is %s', async (what, end, more) => {
    const app = await start();
    const receiver = await receive();
    const deadline =
      'deadline' in more ? { deadline: new Date(Date.now() + 1_000).toISOString() } : undefined;
    const id = await submit(app, receiver.url, { ...more, ...deadline });
    if (what === 'killed') await app.post(`/api/v2/jobs/${id}/kill`, user!, undefined);
    await callbackIs(app, id, { state: 'delivered', attempts: 1, last_error: null });

    const [received] = receiver.received;
    expect(receiver.received).toHaveLength(1);
    expect(received).toMatchObject({ method: 'POST', path: '/ended?by=tally' });
    expect(received!.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'user-agent': 'Tally',
      'webhook-id': `msg_${id}`,
    });
    const polled = (await statusOf(app, id)).body;
    const { finished_at } = (await app.get(`/api/v2/jobs/${id}`, user!)).body;
    expect(Object.keys(verified(received!).data)).toEqual(SEVEN_KEYS);
    expect(verified(received!)).toEqual({
      type: `job.${end}`,
      timestamp: finished_at,
      data: { ...polled, results: [] },
    });
  });

  test('and its polled status does not change by it: the entity tag stays', async () => {
    const app = await start();
    const receiver = await receive((response, n) => response.writeHead(n === 1 ? 500 : 200).end());
    const id = await submit(app, receiver.url);
    await callbackIs(app, id, { state: 'pending', attempts: 1 });
    const before = (await statusOf(app, id)).headers.get('etag')!;
    const whole = (await app.get(`/api/v2/jobs/${id}`, user!)).headers.get('etag');
    await passTime(app);
    await callbackIs(app, id, { state: 'delivered', attempts: 2 });
    const again = await app.get(`/api/v2/job_statuses/${id}`, user!, { 'if-none-match': before });
    expect(again.status).toBe(304);
    expect((await app.get(`/api/v2/jobs/${id}`, user!)).headers.get('etag')).not.toBe(whole);
  });

  test('by each of two secrets while they change, and with the URL of PUBLIC_URL', async () => {
    const other = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;
    const app = await start({ CALLBACK_SECRET: `${other} ${SECRET}`, PUBLIC_URL: 'https://tally.example' });
    const receiver = await receive();
    const id = await submit(app, receiver.url);
    await callbackIs(app, id, { state: 'delivered' });
    for (const secret of [SECRET, other])
      expect(verified(receiver.received[0]!, secret).data['url']).toBe(
        `https://tally.example/api/v2/job_statuses/${id}.json`,
      );
  });

  test('also for a job that retries it', async () => {
    const app = await start();
    const receiver = await receive();
    const id = await submit(app, receiver.url, { tasks: [{ n: -1 }] });
    await callbackIs(app, id, { state: 'delivered' });
    const retry = (await app.post(`/api/v2/jobs/${id}/retry`, user!, undefined)).body.id;
    await callbackIs(app, retry, { state: 'delivered' });
    expect(receiver.received.map((one) => verified(one).data['id'])).toEqual([id, retry]);
  });
});

describe('a callback that fails', () => {
  test('is tried again, later each time, as the same message', async () => {
    const app = await start();
    const receiver = await receive((response, n) => response.writeHead(n < 3 ? 500 : 200).end('secret'));
    const id = await submit(app, receiver.url);
    const wait = async () => {
      const [row] = await app.prisma.$queryRaw<{ s: number }[]>`
        SELECT extract(epoch FROM due_at - clock_timestamp())::float AS s FROM job_callbacks`;
      return row!.s;
    };
    const error = 'the receiver answered 500';
    await callbackIs(app, id, { state: 'pending', attempts: 1, last_error: error });
    expect(await wait()).toBeGreaterThan(3);
    expect(await wait()).toBeLessThan(6.1);
    await passTime(app);
    await callbackIs(app, id, { state: 'pending', attempts: 2, last_error: error });
    await waitFor(async () => (await wait()) < 18.1);
    expect(await wait()).toBeGreaterThan(13);
    await passTime(app);
    await callbackIs(app, id, { state: 'delivered', attempts: 3, last_error: null });
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    for (const one of receiver.received) verified(one);
  });

  test('because nobody listens is tried again', async () => {
    const app = await start();
    const port = await freePort();
    const id = await submit(app, `http://127.0.0.1:${port}/`);
    const error = 'the connection was refused';
    await callbackIs(app, id, { state: 'pending', attempts: 1, last_error: error });
    await receive(status(200), port);
    await passTime(app);
    await callbackIs(app, id, { state: 'delivered', attempts: 2 });
  });

  test('as often as it may is given up', async () => {
    const app = await start();
    const receiver = await receive(status(503));
    const id = await submit(app, receiver.url);
    await callbackIs(app, id, { state: 'pending', last_error: 'the receiver answered 503' });
    await app.prisma.$executeRaw`UPDATE job_callbacks SET attempts = 11`;
    await passTime(app);
    await callbackIs(app, id, { state: 'failed', attempts: 12, last_error: 'the receiver answered 503' });
    expect(receiver.received).toHaveLength(2);
  });

  test('with 410 Gone is given up at once', async () => {
    const app = await start();
    const receiver = await receive(status(410));
    const id = await submit(app, receiver.url);
    await callbackIs(app, id, {
      state: 'failed',
      attempts: 1,
      last_error: 'the receiver answered 410 Gone',
    });
  });

  test('because its address is not public is given up, and nothing was sent', async () => {
    const app = await start({ CALLBACK_ALLOW_PRIVATE: 'false' });
    const receiver = await receive();
    const id = await submit(app, receiver.url);
    await callbackIs(app, id, {
      state: 'failed',
      attempts: 1,
      last_error: 'the address of the host is not public, which is not allowed',
    });
    expect(receiver.received).toEqual([]);
  });
});

describe('of several processes', () => {
  test('each callback is sent by one', async () => {
    const app = await start();
    await Promise.all([start(), start()]);
    const receiver = await receive();
    const ids = await Promise.all(
      Array.from({ length: 25 }, () => submit(app, receiver.url, { tasks: tasks(1) })),
    );
    for (const id of ids) await callbackIs(app, id, { state: 'delivered', attempts: 1 });
    expect(receiver.received.map((one) => verified(one).data['id']).sort()).toEqual(ids.sort());
  });

  test('one that has no CALLBACK_SECRET leaves them to those that have', async () => {
    const app = await start();
    const receiver = await receive();
    const id = await submit(app, receiver.url, { tasks: ENDLESS });
    await app.stop();
    apps = [await start({ CALLBACK_SECRET: '' })];
    await apps[0]!.post(`/api/v2/jobs/${id}/kill`, user!, undefined);
    expect(await callbackOf(apps[0]!, id)).toEqual({ state: 'pending', attempts: 0, last_error: null });
    const able = await start();
    await callbackIs(able, id, { state: 'delivered', attempts: 1 });
  });
});

test('receivers that keep an account waiting do not keep the others waiting', async () => {
  const app = await start();
  const other = await app.addUser('bo@example.com', 'other');
  const silent = await receive(() => undefined);
  const receiver = await receive();
  for (let n = 0; n < 25; n += 1) await submit(app, silent.url, { tasks: tasks(1) });
  await waitFor(() => silent.received.length >= 10);
  user = other;
  const id = await submit(app, receiver.url);
  await callbackIs(app, id, { state: 'delivered', attempts: 1 });
  expect(silent.received.length).toBeLessThan(20);
});

describe('a process that ends in good order', () => {
  test('waits for the answer to what it has sent', async () => {
    const app = await start({ DRAIN_SECONDS: '10' });
    let answer: () => unknown = () => undefined;
    const receiver = await receive((response) => {
      answer = () => response.writeHead(200).end();
    });
    const id = await submit(app, receiver.url);
    await waitFor(() => receiver.received.length === 1);
    const stopped = app.stop();
    answer();
    await stopped;
    const later = await start();
    expect(await callbackOf(later, id)).toEqual({ state: 'delivered', attempts: 1, last_error: null });
  });

  test('cuts it off when its time is over; then another process sends it at once', async () => {
    const app = await start();
    const receiver = await receive((response, n) => {
      if (n > 1) response.writeHead(200).end();
    });
    const id = await submit(app, receiver.url);
    await waitFor(() => receiver.received.length === 1);
    await app.stop();
    apps = [];
    const later = await start();
    await callbackIs(later, id, { state: 'delivered', attempts: 2 });
  });
});
