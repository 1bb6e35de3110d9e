import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { parseConfig } from '../../src/config/config.js';
import { fastifyAdapter } from '../../src/http/fastify.js';
import { QuickLane } from '../../src/http/quick-lane.js';
import { logRequests } from '../../src/logging/request-log.js';
import type { TestUser } from '../support/app.js';
import { expectError, serve, submitted, type Served } from '../http/http-support.js';
import { countStatements } from '../support/statements.js';
import { waitFor } from '../support/wait-for.js';
import { bigJob } from './results-support.js';

let served: Served;
let user: TestUser;
/** Answers that were given before Fastify saw their requests. */
let quick = 0;
beforeAll(async () => {
  served = await serve();
  ({ user } = served);
  laneOf(served).onAnswer(() => (quick += 1));
});
afterAll(() => served.stop());
beforeEach(() => {
  quick = 0;
});

const laneOf = ({ app }: Served) => QuickLane.of(app.app.getHttpAdapter().getInstance());
const statusOf = (id: string) => `/api/v2/job_statuses/${id}.json`;
type Headers = Record<string, string>;

/** Looks at the job, so that the poll after it has nothing to wait for. */
async function afterALook(path: string, headers: Headers = {}, as = user) {
  await served.app.get(path, user, { prefer: 'respond-async' });
  return served.app.get(path, as, headers);
}

/** As `afterALook`, again if so long has passed meanwhile that the job must be looked at anew. */
const quickly = (path: string, headers: Headers = {}) =>
  waitFor(async () => {
    const before = quick;
    const answer = await afterALook(path, headers);
    return quick > before ? answer : null;
  });

describe('a poll of an ended job that was looked at a moment ago', () => {
  test.each([
    ['with .json', statusOf],
    ['without', (id: string) => `/api/v2/job_statuses/${id}`],
    ['with an id as UUID', (id: string) => statusOf(id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'))],
  ])('is answered before Fastify sees it: %s', async (_, pathOf) => {
    const path = pathOf(await bigJob(served, 3));
    const { status, body, headers } = await quickly(path);
    expect([status, body.progress, body.results.length]).toEqual([200, 3, 3]);
    expect((await quickly(path, { 'if-none-match': headers.get('etag')! })).status).toBe(304);
  });

  test.each<[string, Headers]>([
    ['a wish', { prefer: 'wait=1' }],
    ['what a page of our own sends', { 'sec-fetch-site': 'same-origin' }],
  ])('takes the ordinary way with %s', async (_, headers) => {
    const { status } = await afterALook(statusOf(await bigJob(served, 3)), headers);
    expect([quick, status]).toEqual([0, 200]);
  });

  test.each<[string, Headers]>([
    ['which browsers say', { 'sec-fetch-site': 'cross-site' }],
    ['of which the origin tells', { origin: 'https://evil.example' }],
  ])('is refused to a page of another site, %s', async (_, headers) => {
    const answer = await afterALook(statusOf(await bigJob(served, 3)), headers);
    expectError(answer, 403, 'Forbidden');
    expect(quick).toBe(0);
  });

  test.each(['HEAD', 'DELETE', 'POST'])('is no %s', async (method) => {
    const path = statusOf(await bigJob(served, 3));
    await served.app.get(path, user, { prefer: 'respond-async' });
    const { status } = await served.app.call(method, path, user, undefined);
    expect([quick, status]).toEqual([0, method === 'HEAD' ? 200 : 405]);
  });

  test('is not given to those whose job it is not, or who are not known', async () => {
    const path = statusOf(await bigJob(served, 3));
    const other = await served.app.addUser('other@example.com', 'other');
    // So that who asks is known.
    await served.app.get('/api/v2/jobs.json', other);
    expectError(await afterALook(path, {}, other), 404, 'RecordNotFound');
    const wrong = { authorization: `Basic ${Buffer.from(`${user.email}:wrong`).toString('base64')}` };
    expectError(await served.app.call('GET', path, null, undefined, wrong), 401, 'Unauthorized');
    expectError(await served.app.get(path, null), 401, 'Unauthorized');
    expect(quick).toBe(0);
  });

  test('is one of a job that has ended', async () => {
    const { status } = await afterALook(statusOf(await submitted(served)));
    expect([quick, status]).toEqual([0, 200]);
  });

  test('has the next look taken beside it, which no poll waits for', async () => {
    const path = statusOf(await bigJob(served, 3));
    await quickly(path);
    const looks = countStatements(/j\.version\s+FROM job_statuses j WHERE j\.id = ANY/);
    let waited = 0;
    try {
      await waitFor(
        async () => {
          const before = quick;
          await served.app.get(path, user);
          if (quick === before) waited += 1;
          return looks.count > waited;
        },
        { everyMs: 1 },
      );
    } finally {
      looks.stop();
    }
  });

  test('is one no longer when such a look fails; who then has to wait is told', async () => {
    const path = statusOf(await bigJob(served, 3));
    await quickly(path);
    const { prisma } = served.app;
    await prisma.$executeRaw`ALTER TABLE job_statuses RENAME TO hidden`;
    const refusal = async () => {
      const answer = await served.app.get(path, user);
      return answer.status !== 200 && answer;
    };
    expectError(await waitFor(refusal, { everyMs: 1 }), 500, 'InternalError');
    await prisma.$executeRaw`ALTER TABLE hidden RENAME TO job_statuses`;
    const { body } = await quickly(path);
    expect(body.progress).toBe(3);
  });

  test('counts as any other request', async () => {
    const own = await serve();
    const path = statusOf(await bigJob(own, 3));
    let given = 0;
    laneOf(own).onAnswer(() => (given += 1));
    let polls = 0;
    let etag = '';
    await waitFor(async () => {
      etag = (await own.app.get(path, own.user)).headers.get('etag')!;
      polls += 1;
      return given >= 3;
    });
    await own.app.get(path, own.user, { 'if-none-match': etag });
    const route = 'route="/api/v2/job_statuses/:id"';
    const duration = `tally_http_request_duration_seconds_count{method="GET",${route}`;
    await waitFor(async () => {
      const { text } = await own.app.get('/metrics', null);
      return (
        text.includes(`${duration},status="2xx",held="false"} ${polls}`) &&
        text.includes(`${duration},status="3xx",held="false"} 1`) &&
        text.includes(`tally_http_requests_open{${route}} 0`)
      );
    });
    await own.stop();
  });
});

test('requests are counted one by one where an account has so many a second', async () => {
  const own = await serve({ env: { MAX_REQUESTS_PER_SECOND: '1000' } });
  const path = statusOf(await bigJob(own, 3));
  let given = 0;
  laneOf(own).onAnswer(() => (given += 1));
  for (let n = 0; n < 3; n += 1) expect((await own.app.get(path, own.user)).status).toBe(200);
  expect(given).toBe(0);
  await own.stop();
});

test('once it is closed everything takes the ordinary way', async () => {
  const own = await serve();
  const path = statusOf(await bigJob(own, 3));
  let given = 0;
  laneOf(own).onAnswer(() => (given += 1));
  const { text } = await waitFor(async () => {
    const answer = await own.app.get(path, own.user);
    return given > 0 ? answer : null;
  });
  laneOf(own).close();
  given = 0;
  for (let n = 0; n < 5; n += 1) expect((await own.app.get(path, own.user)).text).toBe(text);
  expect(given).toBe(0);
  await own.stop();
});

test.each([
  ['info', true],
  ['debug', false],
])(
  'where the log is at %s an answer is quick: %s, since there it logs every request',
  async (level, isQuick) => {
    const instance = fastifyAdapter(parseConfig({})).getInstance();
    QuickLane.of(instance).serve('/there', () => ({
      status: 200,
      headers: ['content-length', '0'],
      body: null,
    }));
    logRequests(instance, pino({ level }, { write: () => undefined }));
    const origin = await instance.listen({ port: 0, host: '127.0.0.1' });
    expect((await fetch(`${origin}/there`)).ok).toBe(isQuick);
    await instance.close();
  },
);
