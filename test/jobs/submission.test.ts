import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { TestUser } from '../support/app.js';
import {
  expectError,
  expectInvalid,
  JOBS,
  rowsLeft,
  serve,
  SEVEN_KEYS,
  sleepJob,
  type Served,
} from '../http/http-support.js';

let served: Served;
let user: TestUser;
beforeAll(async () => {
  served = await serve({ env: { MAX_TASKS_PER_JOB: '150', MAX_TASK_BYTES: '1000' } });
  user = served.user;
});
afterAll(() => served.stop());
beforeEach(async () => {
  await served.app.prisma.taskChunk.deleteMany();
  await served.app.prisma.jobStatus.deleteMany();
});

const submit = (body: unknown) => served.app.post(JOBS, user, body);

/** Refused, with nothing left behind. */
async function refused(body: unknown, ...fields: string[]) {
  const details = expectInvalid(await submit(body), ...fields);
  expect(await rowsLeft(served.app)).toBe(0);
  return details;
}

describe('a submission', () => {
  test('is answered 202 with the seven keys, in their order, and where to poll', async () => {
    const answer = await submit(sleepJob(3));
    expect(answer.status).toBe(202);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(answer.headers.get('location')).toBe(answer.body.url);
    expect(answer.headers.has('retry-after')).toBe(false);
    expect([...answer.text.matchAll(/"(\w+)":/g)].map(([, key]) => key)).toEqual(SEVEN_KEYS);
    expect(answer.body).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{12}7[0-9a-f]{19}$/),
      url: `${served.app.origin}/api/v2/job_statuses/${answer.body.id}.json`,
      total: 3,
      progress: 0,
      status: 'working',
      message: null,
      results: [],
    });
    expect((await served.app.get(answer.body.url, user)).body.id).toBe(answer.body.id);
  });

  test('is taken beside others of the account that come at the same time, however many', async () => {
    const many = { ...sleepJob(2), metadata: { with: 'all of them' }, start_at: '2100-01-01T00:00:00Z' };
    const answers = await Promise.all(
      Array.from({ length: 29 }, (_, n) => submit(n % 2 ? sleepJob(3) : { ...many, name: `number ${n}` })),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(29);
    expect((await served.app.get(`/api/v2/jobs/${answers[2]!.body.id}`, user)).body).toMatchObject({
      ...{ name: 'number 2', metadata: { with: 'all of them' }, total: 2 },
      start_at: '2100-01-01T00:00:00.000Z',
    });
  });

  test('keeps what it said in the full resource', async () => {
    const said = {
      name: '🐎'.repeat(200),
      metadata: { a: [1, { b: null }], ключ: 'значение', constructor: 'x' },
      priority: -100,
      max_attempts: 25,
    };
    const { body } = await submit(sleepJob(1, said));
    expect((await served.app.get(`/api/v2/jobs/${body.id}`, user)).body).toMatchObject({
      ...said,
      type: 'demo.sleep',
      created_by: user.email,
      counts: { succeeded: 0, failed: 0, retrying: 0, running: 0, pending: 1 },
    });
  });

  test('may leave its options out, and say null where nothing is meant', async () => {
    const { body } = await submit(sleepJob(1, { name: null, metadata: null }));
    expect((await served.app.get(`/api/v2/jobs/${body.id}`, user)).body).toMatchObject({
      name: null,
      metadata: null,
      priority: 0,
    });
  });

  test('keeps each task as it was sent, by position', async () => {
    const tasks = Array.from({ length: 25 }, (_, n) => ({
      n,
      text: '\\u0000 "🐎" \u007f\u2028',
      list: [[], {}],
    }));
    expect((await submit({ type: 'test.anything', tasks })).status).toBe(202);
    const chunks = await served.app.prisma.taskChunk.findMany({ orderBy: { firstPosition: 'asc' } });
    expect(chunks.flatMap((chunk) => chunk.tasks)).toEqual(tasks);
  });
});

describe('an option is refused with its name and what was expected', () => {
  test.each([
    ['name', 'x'.repeat(201), 'at most 200 characters'],
    ['name', '🐎'.repeat(201), 'at most 200 characters'],
    ['name', 7, 'expected a string'],
    ['metadata', [], 'expected an object'],
    ['metadata', 'text', 'expected an object'],
    ['metadata', { a: 'x'.repeat(4_096) }, '4 KiB'],
    ['metadata', { a: 'ü'.repeat(2_048) }, '4 KiB'],
    ['priority', 101, 'a whole number from -100 to 100'],
    ['priority', -101, 'a whole number from -100 to 100'],
    ['priority', 1.5, 'a whole number from -100 to 100'],
    ['priority', '1', 'a whole number from -100 to 100'],
    ['priority', null, 'a whole number from -100 to 100'],
    ['priority', 1e300, 'a whole number from -100 to 100'],
    ['max_attempts', 0, 'a whole number from 1 to 25'],
    ['max_attempts', 26, 'a whole number from 1 to 25'],
    ['no_such_option', true, 'not a known field'],
    ['Name', 'x', 'not a known field'],
    ['constructor', 1, 'not a known field'],
  ])('%s: %.20j', async (field, value, expected) => {
    const details = await refused(sleepJob(1, { [field]: value }), field);
    expect(details[field]![0]!.description).toContain(expected);
  });

  test('also where it stands in the query, which a JSON submission has none of', async () => {
    expectInvalid(await served.app.post(`${JOBS}?name=x`, user, sleepJob()), 'name');
    expect(await rowsLeft(served.app)).toBe(0);
  });

  test('and all that are wrong are named at once', async () => {
    await refused(sleepJob(1, { priority: 'high', name: 1, other: 1 }), 'name', 'priority', 'other');
  });

  test('but never more than a hundred of them, nor a name at full length', async () => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`k${n}`, 1]));
    const answer = await submit(sleepJob(1, many));
    expectError(answer, 422, 'RecordInvalid');
    expect(Object.keys(answer.body.details)).toHaveLength(100);
    expect((await submit(sleepJob(1, { ['k'.repeat(100_000)]: 1 }))).text.length).toBeLessThan(500);
  });
});

describe('a body that is no submission is refused', () => {
  test.each([[null], [[]], ['text'], [1], [true]])('%j', async (body) => {
    await refused(JSON.stringify(body), 'body');
  });

  test.each([
    ['missing', undefined],
    ['null', null],
    ['empty', []],
    ['an object', { 0: {} }],
    ['text', 'tasks'],
  ])('tasks %s', async (_, tasks) => {
    const details = await refused({ type: 'demo.sleep', tasks }, 'tasks');
    expect(details['tasks']![0]!.description).toBe('expected an array of one task or more');
  });

  test.each(['demo.nap', '', 'constructor', '__proto__', 'DEMO.SLEEP', 'x'.repeat(10_000)])(
    'type %.20s, and told which there are',
    async (type) => {
      const details = await refused({ type, tasks: [{}] }, 'type');
      expect(details['type']![0]!.description).toMatch(/demo\.fail, demo\.sleep, .*tickets\.update/);
      expect(details['type']![0]!.description.length).toBeLessThan(500);
    },
  );

  test.each([[undefined], [null], [1], [['demo.sleep']], [{ name: 'demo.sleep' }]])(
    'type %j',
    async (type) => {
      await refused({ type, tasks: [{}] }, 'type');
    },
  );
});

describe('tasks that are refused', () => {
  test('are named with their positions, each member for itself', async () => {
    const tasks = [{}, { ms: -1 }, {}, { ms: 'x', colour: 1 }, 7, null];
    const answer = await submit({ type: 'demo.sleep', tasks });
    expectInvalid(answer, 'tasks.1.ms', 'tasks.3.ms', 'tasks.3.colour', 'tasks.4', 'tasks.5');
    const positions = Object.values(answer.body.details as Record<string, { position: number }[]>).map(
      ([complaint]) => complaint!.position,
    );
    expect(positions).toEqual([1, 3, 3, 4, 5]);
    expect(await rowsLeft(served.app)).toBe(0);
  });

  test('are named up to the first hundred, however much is wrong with each', async () => {
    const tasks = Array.from({ length: 120 }, () => ({ a: 1, b: 2, c: 3 }));
    const answer = await submit({ type: 'demo.sleep', tasks: [{}, ...tasks] });
    expectError(answer, 422, 'RecordInvalid');
    const complaints = Object.values(answer.body.details as Record<string, { position: number }[]>).flat();
    const positions = [...new Set(complaints.map((complaint) => complaint.position))];
    expect(positions).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
  });

  test('for their number are a 400 with max_count', async () => {
    const answer = await submit(sleepJob(151));
    expectError(answer, 400, 'TooManyValues');
    expect(answer.body.max_count).toBe(150);
    expect(await rowsLeft(served.app)).toBe(0);
    expect((await submit(sleepJob(150))).body.total).toBe(150);
  });

  test('for their size say how large they are and may be, in bytes', async () => {
    const task = (bytes: number) => ({ t: 'ü'.repeat((bytes - 8) / 2) });
    const ok = await submit({ type: 'test.anything', tasks: [task(1_000)] });
    expect(ok.status).toBe(202);
    const answer = await submit({ type: 'test.anything', tasks: [{}, task(1_002)] });
    expect(expectInvalid(answer, 'tasks.1')['tasks.1']![0]!.description).toMatch(/1000 bytes.*1002/);
  });
});

test('the demo types cannot be submitted unless DEMO_TASKS says so', async () => {
  const { app, user: someone, stop } = await serve({ env: { DEMO_TASKS: 'false' }, handlers: [] });
  try {
    const details = expectInvalid(await app.post(JOBS, someone, sleepJob()), 'type');
    expect(details['type']![0]!.description).toMatch(
      /^expected one of tickets\.create, tickets\.delete, tickets\.update,/,
    );
    expect(details['type']![0]!.description).not.toContain('demo.fail');
    expect(await rowsLeft(app)).toBe(0);
  } finally {
    await stop();
  }
});
