import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  expectError,
  expectInvalid,
  JOBS,
  rowsLeft,
  serve,
  sleepJob,
  STATUSES,
  submitted,
  type Served,
} from '../http/http-support.js';
import { TestApp, type Answer } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { Way } from '../support/way.js';
import { jobPath, NO_JOB, statusPath, TIME } from './contract-support.js';

let served: Served;
let id: string;
/** A job that was killed. */
let killed: string;
beforeAll(async () => {
  served = await serve({ env: { MAX_BODY_BYTES: '5000', MAX_TASK_BYTES: '1000' } });
  [id, killed] = [await submitted(served), await submitted(served)];
  await act(killed, 'kill');
});
afterAll(() => served.stop());

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  served.app.call(method, path, served.user, body, headers);
const get = (path: string) => call('GET', path);
const post = (path: string, body?: unknown, headers: Record<string, string> = {}) =>
  call('POST', path, body, headers);
const act = (job: string, what: string) => post(jobPath(job, what));
const dashed = (hex: string) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
const JSON_TYPE = { 'content-type': 'application/json' };

/** Every GET of the API that answers with JSON. */
const reads = () => [
  statusPath(id),
  STATUSES,
  `/api/v2/job_statuses/show_many.json?ids=${id}`,
  JOBS,
  jobPath(id),
  jobPath(id, 'results'),
  '/api/v2/tickets.json',
];

describe('paths and ids', () => {
  test('the API is under /api/v2 and nowhere else', async () => {
    for (const path of ['/jobs.json', '/api/jobs.json', '/api/v1/jobs.json', '/api/v3/job_statuses.json'])
      expectError(await get(path), 404, 'RecordNotFound');
  });

  test('each path answers the same with and without .json at its end', async () => {
    for (const path of reads()) {
      const [long, short] = [await get(path), await get(path.replace('.json', ''))];
      expect([path, long.status]).toEqual([path, 200]);
      expect([path, short.status, short.text]).toEqual([path, 200, long.text]);
    }
    expect((await post('/api/v2/jobs', sleepJob())).status).toBe(202);
    expect((await post(`/api/v2/jobs/${killed}/kill`)).text).toBe((await act(killed, 'kill')).text);
  });

  test('the id of a job is a UUIDv7 as 32 lower-case hex digits', () => {
    expect(id).toMatch(/^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  });

  test('an id is accepted with dashes, and answered without', async () => {
    for (const path of [statusPath(dashed(id)), jobPath(dashed(id))])
      expect((await get(path)).body.id).toBe(id);
    const many = await get(`/api/v2/job_statuses/show_many.json?ids=${dashed(id)}`);
    expect(many.body.job_statuses[0].id).toBe(id);
  });
});

describe('what is sent and answered', () => {
  test('answers are JSON in UTF-8', async () => {
    for (const path of reads())
      expect((await get(path)).headers.get('content-type')).toBe('application/json; charset=utf-8');
  });

  test('text of any script comes back as it was sent', async () => {
    const name = 'Größe 寸法 حجم 📐';
    const answer = await post(JOBS, sleepJob(1, { name }));
    expect((await get(jobPath(answer.body.id))).body.name).toBe(name);
  });

  test('a JSON content type on a request without a body is tolerated', async () => {
    expect((await call('GET', statusPath(id), undefined, JSON_TYPE)).status).toBe(200);
    expect((await post(jobPath(killed, 'kill'), undefined, JSON_TYPE)).status).toBe(200);
  });

  test('a JSON body on a DELETE is tolerated', async () => {
    const job = await submitted(served);
    await act(job, 'kill');
    expect((await call('DELETE', jobPath(job), { reason: 'old' })).status).toBe(204);
    expect((await call('DELETE', '/api/v2/tickets/destroy_many.json?ids=1', {})).status).toBe(202);
  });

  test('times are RFC 3339 in UTC', async () => {
    const { body } = await get(jobPath(killed));
    for (const key of ['created_at', 'finished_at', 'expires_at'])
      expect([key, body[key]]).toEqual([key, expect.stringMatching(TIME)]);
    const later = await submitted(served, { start_at: '2130-01-31T13:00:00+01:00' });
    expect((await get(jobPath(later))).body.start_at).toBe('2130-01-31T12:00:00.000Z');
  });

  test('a success never says Retry-After', async () => {
    for (const path of [...reads(), statusPath(killed), '/healthz', '/readyz']) {
      const answer = await get(path);
      expect([path, answer.status, answer.headers.has('retry-after')]).toEqual([path, 200, false]);
    }
    expect((await post(JOBS, sleepJob())).headers.has('retry-after')).toBe(false);
    expect((await act(killed, 'kill')).headers.has('retry-after')).toBe(false);
  });
});

describe('errors', () => {
  const refusals = (): [number, string, () => Promise<Answer>][] => [
    [400, 'InvalidJSON', () => post(JOBS, '{"type":')],
    [400, 'TooManyValues', () => get(`/api/v2/job_statuses/show_many?ids=${Array(101).fill(id).join()}`)],
    [401, 'Unauthorized', () => served.app.get(STATUSES, null)],
    [404, 'RecordNotFound', () => get(statusPath(NO_JOB))],
    [405, 'MethodNotAllowed', () => call('PATCH', JOBS)],
    [409, 'JobWorking', () => act(id, 'retry')],
    [413, 'PayloadTooLarge', () => post(JOBS, sleepJob(1, { name: 'x'.repeat(5_000) }))],
    [415, 'UnsupportedMediaType', () => post(JOBS, 'type=x', { 'content-type': 'text/plain' })],
    [422, 'RecordInvalid', () => post(JOBS, { type: 'demo.sleep', tasks: [] })],
  ];

  test('an error is one CamelCase word and a sentence, without stack trace or SQL', async () => {
    for (const [status, word, refused] of refusals()) {
      const answer = await refused();
      expectError(answer, status, word);
      expect(answer.body.error).toMatch(/^[A-Z][A-Za-z]+$/);
      expect(Object.keys(answer.body).slice(0, 2)).toEqual(['error', 'description']);
    }
  });

  test('what is not there is RecordNotFound: Not found', async () => {
    const answer = await get(statusPath(NO_JOB));
    expect([answer.status, answer.text]).toEqual([
      404,
      '{"error":"RecordNotFound","description":"Not found"}',
    ]);
  });

  test('no answer that is not an error has the member error', async () => {
    for (const path of reads()) expect((await get(path)).body).not.toHaveProperty('error');
  });

  test('a validation error has details, a list for each field', async () => {
    const answer = await post(JOBS, sleepJob(1, { priority: 1_000, max_attempts: 'many' }));
    const details = expectInvalid(answer, 'priority', 'max_attempts');
    expect(details['priority']).toEqual([{ description: 'expected a whole number from -100 to 100' }]);
  });

  test('too many values are told how many there may be', async () => {
    const ids = Array(101).fill(id).join();
    expect((await get(`/api/v2/job_statuses/show_many?ids=${ids}`)).body.max_count).toBe(100);
  });

  test('a 401 says how to sign in', async () => {
    const { headers } = await served.app.get(STATUSES, null);
    expect(headers.get('www-authenticate')).toBe('Basic realm="Tally", charset="UTF-8"');
  });

  test('a 405 names the methods that there are', async () => {
    expect((await call('PATCH', JOBS)).headers.get('allow')).toBe('GET, HEAD, POST');
  });

  test('a 409 says which of its reasons it is: an ended job, a working one, nothing to retry', async () => {
    expectError(await act(id, 'retry'), 409, 'JobWorking');
    expectError(await act(killed, 'pause'), 409, 'JobFinished');
  });

  test('a task over its size is a 422', async () => {
    const answer = await post(JOBS, { type: 'test.anything', tasks: [1, 'x'.repeat(1_000)] });
    const details = expectInvalid(answer, 'tasks.1');
    expect(details['tasks.1']![0]).toEqual({
      description: 'expected at most 1000 bytes as JSON, got: 1002',
      position: 1,
    });
  });
});

describe('a refused request', () => {
  const refused: [string, unknown][] = [
    ['broken JSON', '{"type":"demo.sleep","tasks":[{}'],
    ['an unknown type', { type: 'no.such', tasks: [{}] }],
    ['one bad task among good ones', { type: 'demo.sleep', tasks: [{}, { ms: -1 }, {}] }],
    ['a bad option', sleepJob(1, { priority: 101 })],
    ['an option that there is not', sleepJob(1, { queue: 'fast' })],
  ];

  test.each(refused)('for %s leaves nothing behind', async (_, body) => {
    const before = await rowsLeft(served.app);
    expect([400, 422]).toContain((await post(JOBS, body)).status);
    expect(await rowsLeft(served.app)).toBe(before);
  });

  test('is the answer to members and parameters that are not known: nothing is ignored', async () => {
    expectInvalid(await post(JOBS, sleepJob(1, { queue: 'fast' })), 'queue');
    expectInvalid(await get(`${JOBS}?sort=name`), 'sort');
    expectInvalid(await get(`${STATUSES}?filter[color]=red`), 'filter[color]');
    expectInvalid(await post(`${JOBS}?dry_run=true`, sleepJob()), 'dry_run');
  });
});

test.each([
  ['a NUL character', '\\u0000'],
  ['half of a surrogate pair', '\\ud800'],
])('%s, which cannot be stored, is refused wherever it stands', async (_, escape) => {
  const before = await rowsLeft(served.app);
  for (const body of [
    `{"type":"test.anything","tasks":["a${escape}b"]}`,
    `{"type":"test.anything","tasks":[1],"name":"a${escape}b"}`,
    `{"type":"test.anything","tasks":[{"a${escape}b":1}]}`,
  ])
    expectError(await post(JOBS, body), 400, 'InvalidJSON');
  expectInvalid(await get(`${JOBS}?filter[name]=%00`), 'filter[name]');
  expect(await rowsLeft(served.app)).toBe(before);
});

test('while the database is away the answer is 503 Unavailable with Retry-After', async () => {
  const database = await createTestDatabase();
  const way = new Way(new URL(database.url));
  await way.open();
  const app = await TestApp.start(way.url, { role: 'api' });
  const user = await app.addUser();
  await way.cut();
  try {
    const answer = await app.get(STATUSES, user);
    expectError(answer, 503, 'Unavailable');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  } finally {
    await app.stop();
    await database.drop();
  }
});
