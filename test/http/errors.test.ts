import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestUser } from '../support/app.js';
import {
  authorizationOf,
  expectError,
  JOBS,
  raw,
  rawGet,
  rowsLeft,
  serve,
  sleepJob,
  STATUSES,
  submitted,
  type Served,
} from './http-support.js';

const NO_JOB = '0'.repeat(32);

let served: Served;
let user: TestUser;
beforeAll(async () => {
  served = await serve({ env: { MAX_BODY_BYTES: '5000' } });
  user = served.user;
});
afterAll(() => served.stop());

const call = (...parameters: Parameters<Served['app']['call']>) => served.app.call(...parameters);
const send = (bytes: string | Buffer, how = {}) => raw(served.app.origin, bytes, how);

/** The same shape as expectError wants, of what came over a bare connection. */
function expectRawError(answer: { head: string; body: string }, word: string): void {
  expect(answer.head).toMatch(/^content-type: application\/json; charset=utf-8$/im);
  expect(JSON.parse(answer.body)).toEqual({ error: word, description: expect.stringMatching(/.{3,}/) });
}

describe('a path that is not there is 404', () => {
  test.each(['/nope', '/api/v2', '/api/v2/nope.json', '/api/v2/jobs/1/2/3', '//api/v2/jobs', '/api/v2/JOBS'])(
    '%s',
    async (path) => {
      expectError(await call('GET', path, user), 404, 'RecordNotFound');
      expectError(
        await call('POST', path, user, '{"a', { 'content-type': 'text/plain' }),
        404,
        'RecordNotFound',
      );
    },
  );

  test.each(['x', `${NO_JOB}0`, 'a'.repeat(5_000), '%00', '.json', '%2e%2e', '..%2f..', "'--"])(
    'and so is a job whose id is %.20s',
    async (id) => {
      for (const path of [`/api/v2/jobs/${id}`, `/api/v2/job_statuses/${id}.json?x=1`])
        expectError(await call('GET', path, user), 404, 'RecordNotFound');
    },
  );
});

describe('a method that a known path does not have is 405 and names those it has', () => {
  test.each([
    ['PUT', JOBS, /\bGET\b.*\bPOST\b/],
    ['DELETE', JOBS, /\bGET\b.*\bPOST\b/],
    ['POST', STATUSES, /^GET, HEAD$/],
    ['PATCH', `/api/v2/jobs/${NO_JOB}.json`, /\bGET\b/],
    ['POST', `/api/v2/job_statuses/${NO_JOB}`, /^GET, HEAD$/],
    ['DELETE', '/api/v2/job_statuses/show_many.json?ids=1', /^GET, HEAD$/],
    ['PROPFIND', '/healthz', /^GET, HEAD$/],
    ['OPTIONS', '/healthz', /^GET, HEAD$/],
  ])('%s %s', async (method, path, allowed) => {
    const answer = await call(method, path, user);
    expectError(answer, 405, 'MethodNotAllowed');
    expect(answer.headers.get('allow')).toMatch(allowed);
  });

  test('whatever the body is', async () => {
    const answer = await call('PUT', JOBS, user, '{', { 'content-type': 'text/plain' });
    expectError(answer, 405, 'MethodNotAllowed');
  });
});

describe('a body is refused', () => {
  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    'x',
  ])('as %s with 415', async (type) => {
    const answer = await call('POST', JOBS, user, sleepJob(), { 'content-type': type });
    expectError(answer, 415, 'UnsupportedMediaType');
  });

  test.each(['br', 'deflate', 'gzip, gzip', 'nonsense'])('compressed by %s with 415', async (encoding) => {
    const answer = await call('POST', JOBS, user, sleepJob(), { 'content-encoding': encoding });
    expectError(answer, 415, 'UnsupportedMediaType');
    expect(answer.body.description).toContain('Content-Encoding');
  });

  test('that says it is gzip and is not with 400', async () => {
    const answer = await call('POST', JOBS, user, sleepJob(), { 'content-encoding': 'gzip' });
    expectError(answer, 400, 'InvalidRequest');
    expect(answer.body.description).toContain('gzip');
  });

  test('without a content type with 415', async () => {
    const response = await fetch(served.app.origin + JOBS, {
      method: 'POST',
      headers: { authorization: authorizationOf(user) },
      body: Buffer.from(JSON.stringify(sleepJob())),
    });
    expect([response.status, await response.json()]).toMatchObject([415, { error: 'UnsupportedMediaType' }]);
  });

  test.each([
    'application/json',
    'application/json;charset=UTF-8',
    'Application/JSON ; x=y',
    'application/vnd.api+json',
  ])('not as %s', async (type) => {
    expect((await call('POST', JOBS, user, sleepJob(), { 'content-type': type })).status).toBe(202);
  });

  test('over MAX_BODY_BYTES with 413 that says how many bytes are taken', async () => {
    const before = await rowsLeft(served.app);
    const answer = await call('POST', JOBS, user, sleepJob(1, { name: 'x'.repeat(5_000) }));
    expectError(answer, 413, 'PayloadTooLarge');
    expect(answer.body.description).toContain('5000 bytes');
    expect(await rowsLeft(served.app)).toBe(before);
  });

  test('over MAX_BODY_BYTES with 413 that arrives, also while much is still on its way', async () => {
    for (let round = 0; round < 3; round += 1)
      expectError(await call('POST', JOBS, user, 'x'.repeat(20_000_000)), 413, 'PayloadTooLarge');
  });

  test('over MAX_BODY_BYTES with 413, also when its length is not announced', async () => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 10; i += 1) controller.enqueue(Buffer.alloc(1_000, ' '));
        controller.close();
      },
    });
    const response = await fetch(served.app.origin + JOBS, {
      method: 'POST',
      headers: { authorization: authorizationOf(user), 'content-type': 'application/json' },
      body,
      duplex: 'half',
    });
    expect([response.status, await response.json()]).toMatchObject([413, { error: 'PayloadTooLarge' }]);
  });

  test.each(['{', '[1,]', "{'type':1}", '\u0001', 'null]', '{"tasks":[{}]'])(
    'as malformed JSON with 400: %j',
    async (text) => {
      expectError(await call('POST', JOBS, user, text), 400, 'InvalidJSON');
    },
  );

  test('that is shorter than announced with 400, and leaves nothing behind', async () => {
    const before = await rowsLeft(served.app);
    const body = JSON.stringify(sleepJob());
    const head = ['POST /api/v2/jobs.json HTTP/1.1', 'Host: x', `Authorization: ${authorizationOf(user)}`];
    const announced = ['Content-Type: application/json', `Content-Length: ${body.length + 1}`];
    const answer = await send([...head, ...announced, '', body].join('\r\n'), { thenClose: true });
    expect(answer.status).toBe(400);
    expectRawError(answer, 'InvalidRequest');
    expect(await rowsLeft(served.app)).toBe(before);
  });
});

describe('without credentials', () => {
  test.each([
    ['GET', STATUSES],
    ['GET', `/api/v2/job_statuses/${NO_JOB}.json`],
    ['GET', '/api/v2/job_statuses/show_many.json?ids=1'],
    ['GET', JOBS],
    ['GET', `/api/v2/jobs/${NO_JOB}.json`],
    ['POST', JOBS],
  ])('%s %s is 401 with the challenge', async (method, path) => {
    const answer = await call(method, path, null, method === 'POST' ? sleepJob() : undefined);
    expectError(answer, 401, 'Unauthorized');
    expect(answer.headers.get('www-authenticate')).toBe('Basic realm="Tally", charset="UTF-8"');
    expect(answer.headers.has('retry-after')).toBe(false);
  });
});

describe('what real clients send is tolerated', () => {
  test('a JSON content type on a GET without a body', async () => {
    expect((await call('GET', JOBS, user, undefined, { 'content-type': 'application/json' })).status).toBe(
      200,
    );
  });

  test('a JSON content type on a POST without a body, which then lacks its fields', async () => {
    const answer = await call('POST', JOBS, user, undefined, { 'content-type': 'application/json' });
    expectError(answer, 422, 'RecordInvalid');
    expectError(await call('POST', JOBS, user, ''), 422, 'RecordInvalid');
    expectError(await call('POST', JOBS, user), 422, 'RecordInvalid');
  });

  test('a body on a DELETE, even a broken one', async () => {
    for (const body of ['{}', '', '{"broken', sleepJob()])
      expectError(
        await call('DELETE', '/api/v2/tickets/destroy_many.json', user, body),
        422,
        'RecordInvalid',
      );
  });

  test('a slash at the end of a path, and any query on a single job', async () => {
    const id = await submitted(served);
    for (const path of [
      `/api/v2/jobs/${id}/`,
      `/api/v2/jobs/${id}.json?_=1`,
      `/api/v2/job_statuses/${id}?include=x`,
    ])
      expect((await call('GET', path, user)).status).toBe(200);
  });
});

describe('HEAD', () => {
  test.each([JOBS, STATUSES, '/healthz', `/api/v2/jobs/${NO_JOB}.json`, '/nope'])(
    '%s is GET without the body',
    async (path) => {
      const got = await call('GET', path, user);
      const asked = await call('HEAD', path, user);
      expect([asked.status, asked.text]).toEqual([got.status, '']);
      for (const header of ['content-type', 'content-length'])
        expect([header, asked.headers.get(header)]).toEqual([header, got.headers.get(header)]);
    },
  );
});

describe('over a bare connection', () => {
  test('what is no HTTP is a 400 of the same shape', async () => {
    for (const bytes of [
      'NONSENSE\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      Buffer.from([0, 1, 2, 0x0d, 0x0a, 0x0d, 0x0a]),
    ]) {
      const answer = await send(bytes);
      expect(answer.status).toBe(400);
      expectRawError(answer, 'InvalidRequest');
    }
  });

  test('what comes after a request that ends its connection has no answer of its own', async () => {
    const answer = await send(`${rawGet('/api/v2/jobs/1.json', user)}{"more":true}`);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'RecordNotFound' });
  });

  test('headers that are too large are a 431 of the same shape', async () => {
    const answer = await send(`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(answer.status).toBe(431);
    expectRawError(answer, 'InvalidRequest');
  });

  test('a URL that cannot be decoded is a 400 of the same shape', async () => {
    for (const target of ['/api/v2/jobs/%zz', '/api/v2/job_statuses/%e0%a4.json']) {
      const answer = await send(rawGet(target, user));
      expect(answer.status).toBe(400);
      expectRawError(answer, 'InvalidRequest');
    }
  });

  test('a request line with a whole URL is answered as one with its path', async () => {
    const answer = await send(rawGet('http://evil.example.com/api/v2/jobs.json?page[size]=1', user));
    expect(answer.status).toBe(200);
    expect(answer.body).not.toContain('evil');
  });
});
