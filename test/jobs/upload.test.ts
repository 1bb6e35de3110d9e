import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import type { TestUser } from '../support/app.js';
import { waitFor } from '../support/wait-for.js';
import { expectError, expectInvalid, JOBS, serve, SEVEN_KEYS, type Served } from '../http/http-support.js';
import { lines, NDJSON, NO_TRACES, traces, upload } from './upload-support.js';

let served: Served;
let user: TestUser;
beforeAll(async () => {
  const env = { MAX_TASKS_PER_JOB: '2500', MAX_TASK_BYTES: '1000', MAX_UPLOAD_BYTES: '100000' };
  served = await serve({ env });
  user = served.user;
});
afterAll(() => served.stop());
beforeEach(async () => {
  await served.app.prisma.taskChunk.deleteMany();
  await served.app.prisma.jobStatus.deleteMany();
});

const send = (
  body: string | Buffer | ReadableStream<Uint8Array>,
  query: Record<string, string> = {},
  headers: Record<string, string> = {},
) => upload(served.app, user, body, query, headers);

const stored = async (): Promise<unknown[]> => {
  const chunks = await served.app.prisma.taskChunk.findMany({ orderBy: { firstPosition: 'asc' } });
  return chunks.flatMap((chunk) => chunk.tasks);
};

const refused = async (body: string, ...fields: string[]) => {
  const details = expectInvalid(await send(body), ...fields);
  expect(await traces(served.app)).toEqual(NO_TRACES);
  return details;
};

describe('a submission of lines', () => {
  test('is answered as one of JSON is, and its tasks are ready', async () => {
    const answer = await send(lines(2_345));
    expect(answer.status).toBe(202);
    expect(answer.headers.get('location')).toBe(answer.body.url);
    expect(Object.keys(answer.body)).toEqual(SEVEN_KEYS);
    expect(answer.body).toMatchObject({ total: 2_345, progress: 0, status: 'working', results: [] });
    expect(await stored()).toEqual(Array.from({ length: 2_345 }, (_, n) => ({ n })));
    const states = await served.app.prisma.taskChunk.groupBy({ by: ['state'], _sum: { size: true } });
    expect(states).toEqual([{ state: 'ready', _sum: { size: 2_345 } }]);
    expect(await traces(served.app)).toMatchObject({ jobs: 1, uploads: 0 });
  });

  test('takes its options from the query, numbers and metadata as text', async () => {
    const metadata = { a: [1, 'ü'], __proto__: null };
    const said = { name: 'Ünïcode & more', priority: '-7', max_attempts: '25', task_timeout: '60' };
    const { body } = await send(lines(1), { ...said, max_failures: '0', metadata: JSON.stringify(metadata) });
    expect((await served.app.get(`/api/v2/jobs/${body.id}`, user)).body).toMatchObject({
      name: said.name,
      priority: -7,
      max_attempts: 25,
      max_failures: 0,
      metadata,
    });
  });

  test('waits for start_at', async () => {
    const answer = await send(lines(30), { start_at: '2999-01-01T00:00:00Z' });
    expect(answer.status).toBe(202);
    const states = await served.app.prisma.taskChunk.groupBy({ by: ['state'] });
    expect(states).toEqual([{ state: 'waiting' }]);
  });

  test.each([
    ['CRLF', '{"n":0}\r\n{"n":1}\r\n'],
    ['no newline at the end', '{"n":0}\n{"n":1}'],
    ['empty lines, and lines of blanks', '\n\n{"n":0}\n \t \r\n\n{"n":1}\n\n'],
    ['blanks around a task', '  {"n":0}\t\n {"n":1}  \n'],
    ['a byte order mark', '\ufeff{"n":0}\n{"n":1}\n'],
  ])('may have %s', async (_, body) => {
    expect((await send(body)).body.total).toBe(2);
    expect(await stored()).toEqual([{ n: 0 }, { n: 1 }]);
  });

  test('may be compressed', async () => {
    const answer = await send(gzipSync(lines(1_000)), {}, { 'content-encoding': 'gzip' });
    expect([answer.status, answer.body.total]).toEqual([202, 1_000]);
  });

  test('may come in pieces of any size, without its length', async () => {
    const bytes = Buffer.from(lines(500, (n) => ({ n, text: '🐎ü' })));
    const pieces = function* () {
      for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 31 || 1)
        yield bytes.subarray(at, at + size);
    };
    const answer = await send(ReadableStream.from(pieces()));
    expect([answer.status, answer.body.total]).toEqual([202, 500]);
    expect(await stored()).toEqual(Array.from({ length: 500 }, (_, n) => ({ n, text: '🐎ü' })));
  });

  test('says that tasks have an order, when two concern the same thing', async () => {
    for (const [ids, ordered] of [
      [[1, 2, 3], false],
      [[1, 2, 1], true],
    ] as const) {
      const { body } = await send(ids.map((id) => `{"id":${id},"title":"x"}`).join('\n'), {
        type: 'tickets.update',
      });
      const [job] = await served.app.prisma.$queryRaw<{ ordered: boolean }[]>`
        SELECT ordered FROM job_statuses WHERE replace(id::text, '-', '') = ${body.id}`;
      expect(job!.ordered).toBe(ordered);
    }
  });
});

describe('an option is refused with its name and what was expected', () => {
  test.each([
    ['name', 'x'.repeat(201), 'at most 200 characters'],
    ['name', 'a\0b', 'NUL'],
    ['priority', '101', 'a whole number from -100 to 100'],
    ['priority', 'high', 'a whole number from -100 to 100'],
    ['priority', '1.5', 'a whole number from -100 to 100'],
    ['priority', '', 'a whole number from -100 to 100'],
    ['max_attempts', '0', 'a whole number from 1 to 25'],
    ['metadata', '{', 'expected an object as JSON text'],
    ['metadata', '[]', 'expected an object'],
    ['metadata', '{"a":"\\u0000"}', 'expected an object as JSON text: a: expected text without NUL'],
    ['metadata', JSON.stringify({ a: 'x'.repeat(4_096) }), '4 KiB'],
    ['start_at', 'tomorrow', 'expected a time'],
    ['deadline', '2001-01-01T00:00:00Z', 'expected a time to come'],
    ['type', 'demo.nap', 'expected one of'],
    ['tasks', '[]', 'not a known field'],
    ['page', '1', 'not a known field'],
    ['__proto__', '1', 'not a known field'],
  ])('%s=%.20s', async (field, value, expected) => {
    const details = expectInvalid(await send(lines(3), { [field]: value }), field);
    expect(details[field]![0]!.description).toContain(expected);
    expect(await traces(served.app)).toEqual(NO_TRACES);
  });

  test('also when it comes twice, and when the type is missing', async () => {
    const post = (query: string) => served.app.call('POST', `${JOBS}?${query}`, user, '{}', NDJSON);
    expectInvalid(await post('type=test.anything&name=a&name=b'), 'name');
    expectInvalid(await post('name=a'), 'type');
  });
});

describe('a bad line is named, and nothing is left', () => {
  test.each([
    ['no JSON', '{"n":', 'Line 3: Expected the line to be JSON'],
    ['two values', '{} {}', 'Line 3: Expected the line to be JSON'],
    ['NUL', '{"a":"\\u0000"}', 'Line 3: a: expected text without NUL'],
    [
      'a lone surrogate',
      '"\\ud800"',
      'Line 3: line: expected text without NUL characters and lone surrogates',
    ],
    ['a number without end', '{"n":1e400}', 'Line 3: n: expected a number that fits a double'],
    ['brackets', '['.repeat(900), 'Line 3: Expected the line to be nested'],
  ])('%s is a 400', async (_, line, description) => {
    const answer = await send(`{}\n\n${line}\n{}\n`);
    expectError(answer, 400, 'InvalidJSON');
    expect(answer.body.description).toContain(description);
    expect(await traces(served.app)).toEqual(NO_TRACES);
  });

  test('bytes that are not UTF-8 are a 400', async () => {
    const answer = await send(Buffer.from([0x22, 0xff, 0x22, 0x0a]));
    expectError(answer, 400, 'InvalidJSON');
    expect(answer.body.description).toBe('Line 1: Expected the line to be JSON in UTF-8');
  });

  test('tasks that their schema refuses are a 422 that names each, by its position and its line', async () => {
    const body = '{"ms":1}\n\n{"ms":-1}\n{}\n{"ms":"x","other":1}\n7\n';
    const answer = await send(body, { type: 'demo.sleep' });
    const details = expectInvalid(answer, 'tasks.1.ms', 'tasks.3.ms', 'tasks.3.other', 'tasks.4');
    expect(details['tasks.1.ms']).toEqual([{ description: expect.stringMatching(/^line 3: /), position: 1 }]);
    expect(details['tasks.4']![0]!.description).toMatch(/^line 6: /);
    expect(await traces(served.app)).toEqual(NO_TRACES);
  });

  test('but no more than a hundred of them', async () => {
    const answer = await send(
      lines(150, () => ({ ms: -1 })),
      { type: 'demo.sleep' },
    );
    expect(Object.keys(answer.body.details)).toHaveLength(100);
  });

  test('a bad task far behind takes back what was written', async () => {
    const answer = await send(
      lines(2_400, (n) => ({ ms: n === 2_399 ? -1 : 1 })),
      { type: 'demo.sleep' },
    );
    expectInvalid(answer, 'tasks.2399.ms');
    expect(await traces(served.app)).toEqual(NO_TRACES);
  });

  test('a line over MAX_TASK_BYTES is a 422', async () => {
    const line = JSON.stringify('x'.repeat(999));
    const details = await refused(`1\n${line}\n`, 'tasks.1');
    expect(details['tasks.1']![0]!.description).toBe('line 2: expected at most 1000 bytes');
    expect((await send(JSON.stringify('x'.repeat(998)))).status).toBe(202);
  });

  test('nesting that a task may not have is a 422', async () => {
    const details = await refused(`1\n${'['.repeat(101)}${']'.repeat(101)}`, 'tasks.1');
    expect(details['tasks.1']![0]!.description).toMatch(/^line 2: .*nested more than 100 levels/);
  });

  test.each([
    ['nothing', ''],
    ['newlines', '\n\r\n\n'],
  ])('%s at all is a 422', async (_, body) => {
    await refused(body, 'tasks');
  });

  test('more lines than MAX_TASKS_PER_JOB are a 400 with max_count', async () => {
    const answer = await send(lines(2_501));
    expectError(answer, 400, 'TooManyValues');
    expect(answer.body.max_count).toBe(2_500);
    expect(answer.body.description).toContain('line 2501');
    expect(await traces(served.app)).toEqual(NO_TRACES);
    expect((await send(lines(2_500))).body.total).toBe(2_500);
  });
});

describe('bytes', () => {
  const bomb = gzipSync(Buffer.alloc(50_000_000, '\n'));

  test.each<[string, string | Buffer, Record<string, string>]>([
    ['announced', '\n'.repeat(100_001), {}],
    ['inflated', gzipSync('\n'.repeat(100_001)), { 'content-encoding': 'gzip' }],
    ['inflated out of very little', bomb, { 'content-encoding': 'gzip' }],
  ])('over MAX_UPLOAD_BYTES are a 413: %s', async (_, body, headers) => {
    const answer = await send(body, {}, headers);
    expectError(answer, 413, 'PayloadTooLarge');
    expect(answer.body.description).toContain('100000 bytes');
    expect(await traces(served.app)).toEqual(NO_TRACES);
  });

  test('over MAX_UPLOAD_BYTES are a 413, also when their number is not announced', async () => {
    const pieces = Array.from({ length: 101 }, () => Buffer.alloc(1_000, '\n'));
    const answer = await send(ReadableStream.from(pieces));
    expectError(answer, 413, 'PayloadTooLarge');
  });

  test.each([
    ['not gzip', Buffer.from(lines(10))],
    ['half of a gzip', gzipSync(lines(1_000)).subarray(0, 1_500)],
  ])('that are %s are a 400', async (_, body) => {
    expectError(await send(body, {}, { 'content-encoding': 'gzip' }), 400, 'InvalidRequest');
    expect(await traces(served.app)).toEqual(NO_TRACES);
  });

  test('of JSON may be compressed too, up to MAX_BODY_BYTES inflated', async () => {
    const post = (body: string | Buffer) =>
      fetch(served.app.origin + JOBS, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'content-encoding': 'gzip',
          authorization: `Basic ${Buffer.from(`${user.email}:correct horse`).toString('base64')}`,
        },
        body,
      });
    const job = JSON.stringify({ type: 'test.anything', tasks: [1, 2] });
    expect((await post(gzipSync(job))).status).toBe(202);
    const inflated = await post(gzipSync(job + ' '.repeat(40_000_000)));
    expect([inflated.status, await inflated.json()]).toMatchObject([413, { error: 'PayloadTooLarge' }]);
    expect((await post(gzipSync(job).subarray(0, 20))).status).toBe(400);
  });
});

test('lines are taken by submissions alone', async () => {
  for (const path of ['/api/v2/tickets/create_many.json', '/api/v2/jobs/1/kill.json'])
    expectError(await served.app.call('POST', path, user, '{}\n', NDJSON), 415, 'UnsupportedMediaType');
});

test('a job that was streamed runs to its end, with every result in its place', async () => {
  const running = await serve({ role: 'all' });
  try {
    const { body } = await upload(
      running.app,
      running.user,
      lines(3_000, (n) => ({ note: `n${n}` })),
      {
        type: 'demo.sleep',
      },
    );
    const ended = await waitFor(async () => {
      const answer = await running.app.get(body.url, running.user);
      return answer.body.status !== 'working' && answer.body;
    });
    expect(ended).toMatchObject({ status: 'completed', total: 3_000, progress: 3_000 });
    expect(ended.results[999]).toMatchObject({ note: 'n999' });
  } finally {
    await running.stop();
  }
});
