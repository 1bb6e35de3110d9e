import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Answer } from '../support/app.js';
import { expectError, JOBS, raw, rawGet, rowsLeft, serve, STATUSES, type Served } from './http-support.js';

let served: Served;
beforeAll(async () => {
  // Nobody runs what is taken: hundreds of jobs work at the end.
  const env = { MAX_TASKS_PER_JOB: '20', MAX_TASK_BYTES: '500', MAX_WORKING_JOBS: '10000' };
  served = await serve({ env });
});
afterAll(() => served.stop());

/** What was asked is either done or refused in the one shape of errors; it is never the service's fault. */
function expectSense(answer: Answer, done: number): void {
  if (answer.status === done) return;
  expect([400, 404, 405, 413, 415, 422]).toContain(answer.status);
  expectError(answer, answer.status, answer.body?.error);
}

/** Mostly what the API has names for, and now and then anything. */
const among = <T>(known: readonly T[], other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: other });

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ minLength: 190, maxLength: 210 }),
);
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown>,
  text,
  fc.constantFrom(1e308, -0, 2 ** 53),
);

const options = [
  'name',
  'metadata',
  'priority',
  'max_attempts',
  'max_failures',
  'task_timeout',
  'start_at',
  'deadline',
];
const body = fc
  .tuple(
    among(
      ['demo.sleep', 'demo.fail', 'tickets.create', 'tickets.update', 'tickets.delete', 'test.anything'],
      text,
    ),
    among<unknown>(
      [[{}], [{ ms: 1 }, { note: 'x' }], [{ title: 'x' }], [{ id: 1 }], []],
      fc.array(anything, { maxLength: 25 }),
    ),
    fc.dictionary(among(options, text), anything, { maxKeys: 3 }),
  )
  .map(([type, tasks, more]) => ({ type, tasks, ...more }));

const parameters = [
  'page[size]',
  'page[after]',
  'page[before]',
  'filter[status]',
  'filter[type]',
  'filter[name]',
  'ids',
  'page[]',
  '__proto__',
];
const value = among(
  [
    '',
    '1',
    '100',
    '101',
    'working',
    'AAAA',
    Buffer.from('0'.repeat(32)).toString('base64url'),
    '%',
    '%00',
    '%ff',
    "'",
  ],
  fc.string({ unit: 'binary', maxLength: 30 }).map((part) => encodeURIComponent(part.toWellFormed())),
);
const query = fc
  .array(fc.tuple(among(parameters, fc.webQueryParameters()), value), { maxLength: 4 })
  .map((pairs) => pairs.map(([name, said]) => `${name}=${said}`).join('&'));

describe('whatever is sent', () => {
  test('as a submission is taken or refused, and a refused one leaves nothing behind', async () => {
    const { app, user } = served;
    let left = await rowsLeft(app);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof({ weight: 5, arbitrary: body }, { weight: 1, arbitrary: anything }),
        async (said) => {
          const answer = await app.post(JOBS, user, JSON.stringify(said));
          expectSense(answer, 202);
          const now = await rowsLeft(app);
          expect(now > left).toBe(answer.status === 202);
          left = now;
        },
      ),
      { numRuns: 300 },
    );
  });

  test('as the bytes of a body is taken or refused', async () => {
    const { app, user } = served;
    const broken = fc.tuple(body, fc.nat(), fc.nat(255)).map(([said, at, byte]) => {
      const bytes = Buffer.from(JSON.stringify(said));
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    await fc.assert(
      fc.asyncProperty(broken, async (bytes) => {
        const response = await fetch(app.origin + JOBS, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            authorization: `Basic ${Buffer.from(`${user.email}:correct horse`).toString('base64')}`,
          },
          body: bytes,
        });
        const said = await response.text();
        expectSense(
          {
            status: response.status,
            headers: response.headers,
            text: said,
            body: JSON.parse(said) as unknown,
          },
          202,
        );
      }),
      { numRuns: 150 },
    );
  });

  test('as a query is answered or refused', async () => {
    const { app, user } = served;
    const path = fc.constantFrom(JOBS, STATUSES, '/api/v2/job_statuses/show_many.json');
    await fc.assert(
      fc.asyncProperty(path, query, async (list, said) => {
        expectSense(await app.get(`${list}?${said}`, user), 200);
      }),
      { numRuns: 300 },
    );
  });

  test('as a path and a method is answered or refused', async () => {
    const { app, user } = served;
    const segment = among(
      ['jobs', 'job_statuses', 'show_many', '0'.repeat(32), '..', '%2f', '%zz', '.json', ''],
      text.map(encodeSafely),
    );
    const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND');
    await fc.assert(
      fc.asyncProperty(method, fc.array(segment, { maxLength: 3 }), async (how, segments) => {
        const target = `/api/v2/${segments.join('/')}`;
        const answer = await raw(app.origin, rawGet(target, user).replace(/^GET/, how));
        expect(answer.status).toBeLessThan(500);
        if (answer.status === 200) return;
        const { error, description } = JSON.parse(answer.body) as Record<string, unknown>;
        expect([typeof error, typeof description]).toEqual(['string', 'string']);
      }),
      { numRuns: 150 },
    );
  });
});

const encodeSafely = (part: string): string => encodeURIComponent(part.toWellFormed());
