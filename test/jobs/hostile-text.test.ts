import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectError, expectInvalid, JOBS, rowsLeft, serve, type Served } from '../http/http-support.js';

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served.stop());

const submit = (json: string | Buffer) =>
  served.app.post(JOBS, served.user, json instanceof Buffer ? json.toString('latin1') : json);

const job = (task: string, more = '') => `{"type":"test.anything","tasks":[${task}]${more}}`;

async function refused(json: string, status: number, word: string): Promise<string> {
  const before = await rowsLeft(served.app);
  const started = performance.now();
  const answer = await submit(json);
  expectError(answer, status, word);
  expect(performance.now() - started).toBeLessThan(3_000);
  expect(await rowsLeft(served.app)).toBe(before);
  return answer.body.description as string;
}

/** Submits, and reads the tasks back out of the database. */
async function stored(json: string): Promise<unknown[]> {
  const answer = await submit(json);
  expect([answer.status, answer.text.slice(0, 300)]).toEqual([202, expect.any(String)]);
  const chunks = await served.app.prisma.$queryRaw<{ tasks: string }[]>`
    SELECT tasks::text AS tasks FROM task_chunks WHERE job_id::text = ${dashed(answer.body.id)} ORDER BY first_position`;
  return chunks.flatMap(({ tasks }) => JSON.parse(tasks) as unknown[]);
}

const dashed = (id: string) => id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

describe('what Postgres cannot store is refused at the edge, with its place', () => {
  describe.each(['\\u0000', '\\ud800', '\\uDFFF', '\\udc00\\ud800', 'x\\ud83d'])('%s', (escape) => {
    test.each([
      ['in a task', job(`{"a":["${escape}"]}`), 'tasks.0.a.0'],
      ['as a task', job(`"${escape}"`), 'tasks.0'],
      ['in a key of a task', job(`{"a":{"${escape}":1}}`), 'A key of tasks.0.a'],
      ['in name', job('{}', `,"name":"${escape}"`), 'name'],
      ['in metadata', job('{}', `,"metadata":{"a":"${escape}"}`), 'metadata.a'],
      ['in a key of metadata', job('{}', `,"metadata":{"${escape}":1}`), 'A key of metadata'],
      ['in type', `{"type":"${escape}","tasks":[{}]}`, 'type'],
      ['in an unknown option', job('{}', `,"${escape}":1`), 'A key of body'],
    ])('%s', async (_, json, place) => {
      expect(await refused(json, 400, 'InvalidJSON')).toBe(
        `${place}: expected text without NUL characters and lone surrogates`,
      );
    });
  });

  test('a backslash before it makes it plain text', async () => {
    expect(await stored(job('{"\\\\u0000":"\\\\ud800 \\\\\\\\u0000"}'))).toEqual([
      { '\\u0000': '\\ud800 \\\\u0000' },
    ]);
  });

  test('whole pairs, other control characters and noncharacters are no harm', async () => {
    expect(await stored(job('{"a":"\\ud83d\\udc0e \\u0001\\u001f\\u007f\\ufffe\\uffff\\u2028"}'))).toEqual([
      { a: '🐎 \u0001\u001f\u007f\ufffe\uffff\u2028' },
    ]);
  });

  test('bytes that are not UTF-8', async () => {
    const before = await rowsLeft(served.app);
    const response = await fetch(served.app.origin + JOBS, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Basic ${Buffer.from(`${served.user.email}:correct horse`).toString('base64')}`,
      },
      body: Buffer.concat([Buffer.from(job('"').slice(0, -2)), Buffer.from([0xff, 0x22]), Buffer.from(']}')]),
    });
    expect([response.status, await response.json()]).toEqual([
      400,
      { error: 'InvalidJSON', description: 'Expected the body to be JSON in UTF-8' },
    ]);
    expect(await rowsLeft(served.app)).toBe(before);
  });
});

describe('names that mean something to JavaScript are names', () => {
  test('in a task that may be anything', async () => {
    const task =
      '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toJSON":1,"toString":2}';
    const [kept] = await stored(job(task));
    expect(JSON.stringify(kept)).toBe(task);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('as an option: %s', async (name) => {
    const answer = await submit(job('{}', `,"${name}":{"polluted":true}`));
    expect(expectInvalid(answer, name)[name]).toEqual([{ description: 'is not a known field' }]);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test.each(['__proto__', 'constructor'])('in a query: %s', async (name) => {
    expectInvalid(await served.app.get(`${JOBS}?${name}=1`, served.user), name);
  });

  test('in a task of a known shape', async () => {
    const answer = await submit('{"type":"demo.sleep","tasks":[{"__proto__":{"ms":1}},{"constructor":1}]}');
    expectInvalid(answer, 'tasks.0.__proto__', 'tasks.1.constructor');
  });

  test('in metadata, which is kept as it was sent', async () => {
    const metadata = '{"__proto__":{"a":1},"constructor":2,"x":{"__proto__":3}}';
    const answer = await submit(job('{}', `,"metadata":${metadata}`));
    const full = await served.app.get(`/api/v2/jobs/${answer.body.id}`, served.user);
    expect(full.text).toContain(`"metadata":${metadata}`);
  });
});

describe('nesting', () => {
  const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

  test.each([
    ['a body of brackets', '['.repeat(100_000)],
    ['a body of balanced brackets', nested(100_000)],
    ['a task', job(nested(100_000))],
    ['a task of objects', job('{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000))],
    ['metadata', job('{}', `,"metadata":{"a":${nested(10_000)}}`)],
    ['an unknown option', job('{}', `,"x":${nested(10_000)}`)],
    ['type', `{"tasks":[{}],"type":${nested(10_000)}}`],
    ['30 MiB of brackets', '['.repeat(30 * 1024 * 1024)],
  ])('of %s is refused at once', async (_, json) => {
    expect(await refused(json, 400, 'InvalidJSON')).toMatch(/nested at most 200 levels deep/);
  });

  test('of a task is refused past 100 levels, with its position', async () => {
    expect((await submit(job(`1,${nested(100)}`))).status).toBe(202);
    const answer = await submit(job(`1,${nested(101)}`));
    expect(expectInvalid(answer, 'tasks.1')['tasks.1']![0]!.description).toMatch(
      /nested more than 100 levels/,
    );
  });
});

describe('numbers', () => {
  test.each(['1e400', '-1e400', `1${'0'.repeat(400)}`])(
    '%.10s, which no double can hold, is refused',
    async (number) => {
      for (const json of [
        job(`{"n":${number}}`),
        job('{}', `,"metadata":{"n":${number}}`),
        job('{}', `,"priority":${number}`),
      ])
        expect(await refused(json, 400, 'InvalidJSON')).toMatch(/expected a number that fits a double/);
    },
  );

  test('of every usual kind are kept', async () => {
    expect(await stored(job('[0,-0,1e308,5e-324,1e-400,0.1,9007199254740991]'))).toEqual([
      [0, 0, 1e308, 5e-324, 0, 0.1, 9007199254740991],
    ]);
  });

  test('of two members with one name are the last', async () => {
    expect(await stored(job('{"a":1,"a":2}'))).toEqual([{ a: 2 }]);
    const answer = await submit('{"type":"nope","type":"test.anything","tasks":[],"tasks":[1,2]}');
    expect([answer.status, answer.body.total]).toEqual([202, 2]);
  });
});
