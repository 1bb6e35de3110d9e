import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  authorizationOf,
  expectError,
  expectInvalid,
  JOBS,
  rowsLeft,
  serve,
  SEVEN_KEYS,
  sleepJob,
  type Served,
} from '../http/http-support.js';
import { lines, NO_TRACES, SlowUpload, traces, upload } from '../jobs/upload-support.js';
import { TestApp } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait-for.js';
import { CALLBACKS } from '../webhooks/receiver.js';
import { jobPath } from './contract-support.js';

let served: Served;
beforeAll(async () => {
  served = await serve({ env: { ...CALLBACKS, MAX_WORKING_JOBS: '1000', MAX_TASKS_PER_JOB: '500' } });
});
afterAll(() => served.stop());

const submit = (body: unknown, headers: Record<string, string> = {}) =>
  served.app.post(JOBS, served.user, body, headers);
const send = (body: string, query: Record<string, string> = {}, headers: Record<string, string> = {}) =>
  upload(served.app, served.user, body, query, headers);
const jobOf = async (id: string) => (await served.app.get(jobPath(id), served.user)).body;

describe('a submission', () => {
  test('is answered 202 with the status of the job, and its url as Location', async () => {
    const { status, headers, body } = await submit(sleepJob(3));
    expect(status).toBe(202);
    expect(Object.keys(body)).toEqual(SEVEN_KEYS);
    expect(body).toMatchObject({ total: 3, progress: 0, status: 'working', message: null, results: [] });
    expect(headers.get('location')).toBe(body.url);
  });

  test('is stored whole by the time of its 202: another process finds the job and its tasks', async () => {
    const { body } = await submit(sleepJob(30));
    const [row] = await served.app.prisma.$queryRaw<{ total: number; tasks: number }[]>`
      SELECT j.total, sum(json_array_length(c.tasks::json))::int AS tasks
        FROM job_statuses j JOIN task_chunks c ON c.job_id = j.id WHERE j.id = ${body.id}::uuid GROUP BY j.total`;
    expect(row).toEqual({ total: 30, tasks: 30 });
  });
});

describe('the options of a job', () => {
  const later = '2130-01-01T00:00:00.000Z';

  test('are all found in the full resource', async () => {
    const options = {
      name: 'nightly',
      metadata: { run: 7, by: { who: 'cron' } },
      priority: 5,
      max_attempts: 4,
      max_failures: 10,
      task_timeout: 60,
      start_at: later,
      deadline: '2130-01-02T00:00:00.000Z',
      callback_url: 'https://example.com/ended',
    };
    const { body } = await submit(sleepJob(1, options));
    expect(await jobOf(body.id)).toMatchObject(options);
  });

  test('have their defaults', async () => {
    const { body } = await submit(sleepJob());
    expect(await jobOf(body.id)).toMatchObject({
      name: null,
      metadata: null,
      priority: 0,
      max_attempts: 3,
      max_failures: null,
      task_timeout: 30,
      start_at: null,
      deadline: null,
      callback_url: null,
    });
  });

  test.each([
    ['name', ['', 'x'.repeat(200)], ['x'.repeat(201), 1]],
    ['metadata', [{}, { a: 'x'.repeat(4_088) }], [{ a: 'x'.repeat(4_089) }, [], 'text']],
    ['priority', [-100, 100], [-101, 101, 0.5, '1']],
    ['max_attempts', [1, 25], [0, 26]],
    ['max_failures', [0, 1_000_000], [-1, 1.5]],
    ['task_timeout', [1, 86_400], [0, 86_401]],
    ['start_at', [later, '2130-01-01T01:00:00+01:00'], ['tomorrow', 5]],
    ['deadline', [later], ['2001-01-01T00:00:00Z', 'soon']],
    [
      'callback_url',
      ['https://example.com/x'],
      ['ftp://example.com', 'example.com', 'https://a:b@example.com'],
    ],
  ])('%s is taken up to its bounds and refused beyond them', async (option, good, bad) => {
    for (const value of good)
      expect([value, (await submit(sleepJob(1, { [option]: value }))).status]).toEqual([value, 202]);
    for (const value of bad) expectInvalid(await submit(sleepJob(1, { [option]: value })), option);
  });
});

describe('a submission of lines', () => {
  test('has a task a line, and is answered as any other', async () => {
    const { status, headers, body } = await send(lines(250));
    expect([status, body.total, Object.keys(body)]).toEqual([202, 250, SEVEN_KEYS]);
    expect(headers.get('location')).toBe(body.url);
  });

  test('says its type and options in the query', async () => {
    const { body } = await send('{"note":"a"}\n', {
      type: 'demo.sleep',
      name: 'lines',
      priority: '-5',
      metadata: '{"a":1}',
    });
    const expected = { type: 'demo.sleep', name: 'lines', priority: -5, metadata: { a: 1 } };
    expect(await jobOf(body.id)).toMatchObject(expected);
    expectInvalid(await send(lines(1), { priority: '101' }), 'priority');
  });

  test('with a bad line names the line and leaves nothing', async () => {
    const before = await rowsLeft(served.app);
    const refused = await send('{"n":1}\n{"n":2}\n{"n":\n{"n":4}\n');
    expectError(refused, 400, 'InvalidJSON');
    expect(refused.body.description).toMatch(/^Line 3: /);
    const bad = expectInvalid(await send('{}\n{"ms":-1}\n', { type: 'demo.sleep' }), 'tasks.1.ms');
    expect(bad['tasks.1.ms']![0]!.description).toMatch(/^line 2: /);
    expect(await rowsLeft(served.app)).toBe(before);
  });

  test('with too many lines leaves nothing', async () => {
    const before = await rowsLeft(served.app);
    const refused = await send(lines(501));
    expectError(refused, 400, 'TooManyValues');
    expect(refused.body.max_count).toBe(500);
    expect(await rowsLeft(served.app)).toBe(before);
  });

  test('that breaks off leaves nothing', async () => {
    const before = await traces(served.app);
    const broken = await SlowUpload.start(served.app.origin, authorizationOf(served.user));
    // So much that it is written while it comes.
    await broken.send(lines(100, (n) => ({ n, text: 'x'.repeat(4_000) })));
    await waitFor(async () => (await traces(served.app))['uploads'] === 1);
    broken.cut();
    await waitFor(async () => (await traces(served.app))['uploads'] === 0);
    expect(await traces(served.app)).toEqual(before);
  });
});

describe('an Idempotency-Key', () => {
  const once = (key: string) => ({ 'idempotency-key': key });

  test('with the same body is answered with the first job: 200, Idempotency-Replayed', async () => {
    const first = await submit(sleepJob(2), once('a'));
    expect([first.status, first.headers.has('idempotency-replayed')]).toEqual([202, false]);
    const again = await submit(sleepJob(2), once('a'));
    expect([again.status, again.body.id]).toEqual([200, first.body.id]);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.headers.has('retry-after')).toBe(false);
  });

  test('works for lines too', async () => {
    const first = await send(lines(3), {}, once('lines'));
    const again = await send(lines(3), {}, once('lines'));
    expect([first.status, again.status, again.body.id]).toEqual([202, 200, first.body.id]);
  });

  test('with another body is a 422', async () => {
    await submit(sleepJob(2), once('b'));
    expectError(await submit(sleepJob(3), once('b')), 422, 'IdempotencyMismatch');
  });

  test('holds for 24 hours', async () => {
    await submit(sleepJob(), once('day'));
    const { expiresAt } = await served.app.prisma.idempotencyKey.findFirstOrThrow({ where: { key: 'day' } });
    expect(Math.round((expiresAt.getTime() - Date.now()) / 60_000)).toBe(24 * 60);
  });

  test('is a 409 while the first request with it is still being read', async () => {
    const { app, user } = served;
    const slow = await SlowUpload.start(app.origin, authorizationOf(user), 'type=test.anything', [
      'Idempotency-Key: c',
      'Connection: close',
    ]);
    await slow.send(lines(1));
    await waitFor(() => app.prisma.idempotencyKey.findFirst({ where: { key: 'c' } }));
    expectError(await send(lines(1), {}, once('c')), 409, 'RequestInProgress');
    expect((await slow.end()).status).toBe(202);
    expect((await send(lines(1), {}, once('c'))).status).toBe(200);
  });

  test('is free again after a refusal', async () => {
    expectInvalid(await submit(sleepJob(1, { priority: 101 }), once('d')), 'priority');
    expect((await submit(sleepJob(), once('d'))).status).toBe(202);
  });

  test('survives a restart of the service', async () => {
    const database = await createTestDatabase();
    const env = { PUBLIC_URL: 'https://tally.example.com' };
    const before = await TestApp.start(database.url, { role: 'api', env });
    const user = await before.addUser();
    const first = await before.post(JOBS, user, sleepJob(), once('e'));
    await before.stop();
    const after = await TestApp.start(database.url, { role: 'api', env });
    const again = await after.post(JOBS, user, sleepJob(), once('e'));
    await after.stop();
    await database.drop();
    expect([first.status, again.status, again.body.id]).toEqual([202, 200, first.body.id]);
  });
});

describe('what is no job', () => {
  test('an unknown type is a 422 that names those there are', async () => {
    const details = expectInvalid(await submit({ type: 'no.such', tasks: [{}] }), 'type');
    expect(details['type']![0]!.description).toMatch(/demo\.sleep.*tickets\.update/);
  });

  test('a list without tasks is a 422', async () => {
    expectInvalid(await submit({ type: 'demo.sleep', tasks: [] }), 'tasks');
    expectInvalid(await send('\n\n'), 'tasks');
  });

  test('tasks that their schema refuses are named by their positions, the first hundred of them', async () => {
    const tasks = Array.from({ length: 300 }, (_, n) => (n % 2 ? { ms: -1 } : {}));
    const answer = await submit({ type: 'demo.sleep', tasks });
    expectError(answer, 422, 'RecordInvalid');
    const details = answer.body.details as Record<string, { position: number }[]>;
    expect(Object.keys(details)[0]).toBe('tasks.1.ms');
    const positions = Object.values(details).map(([complaint]) => complaint!.position);
    expect(positions).toEqual(Array.from({ length: 100 }, (_, n) => 2 * n + 1));
  });
});

describe('DEMO_TASKS', () => {
  test('unless it is set, the demo types cannot be submitted', async () => {
    const plain = await serve({ env: { DEMO_TASKS: 'false' } });
    try {
      for (const type of ['demo.sleep', 'demo.fail'])
        expectInvalid(await plain.app.post(JOBS, plain.user, { type, tasks: [{}] }), 'type');
      expect(await traces(plain.app)).toEqual(NO_TRACES);
    } finally {
      await plain.stop();
    }
  });
});
