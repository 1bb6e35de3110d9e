import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import { IdempotencyStore } from '../../src/jobs/idempotency.store.js';
import type { Answer, TestUser } from '../support/app.js';
import { waitFor } from '../support/wait-for.js';
import {
  authorizationOf,
  expectError,
  expectInvalid,
  JOBS,
  serve,
  type Served,
} from '../http/http-support.js';
import { lines, NO_TRACES, SlowUpload, traces, upload } from './upload-support.js';

let served: Served;
let user: TestUser;
beforeAll(async () => {
  served = await serve({ env: { MAX_WORKING_JOBS: '1000' } });
  user = served.user;
});
afterAll(() => served.stop());
afterEach(async () => {
  await served.app.prisma.$executeRaw`TRUNCATE job_statuses, task_chunks, job_uploads, idempotency_keys`;
});

const job = (n = 0) => ({ type: 'test.anything', tasks: [{ n }] });
const withKey = (key: string) => ({ 'idempotency-key': key });
const submit = (key: string, body: unknown = job(), caller = user) =>
  served.app.post(JOBS, caller, body, withKey(key));
const send = (key: string, body: string | Buffer, query = {}, headers = {}) =>
  upload(served.app, user, body, query, { ...withKey(key), ...headers });

function expectReplay(answer: Answer, first: Answer): void {
  expect([answer.status, answer.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
  expect(answer.headers.get('location')).toBe(first.headers.get('location'));
  expect(answer.headers.has('retry-after')).toBe(false);
  expect(answer.body.id).toBe(first.body.id);
}

describe('the same key again', () => {
  test('with the same request is the first job, as it is now', async () => {
    const first = await submit('a');
    expect([first.status, first.headers.has('idempotency-replayed')]).toEqual([202, false]);
    expectReplay(await submit('a'), first);
    await served.app.post(`/api/v2/jobs/${first.body.id}/kill.json`, user, undefined);
    const again = await submit('a');
    expectReplay(again, first);
    expect(again.body.status).toBe('killed');
    expect(await traces(served.app)).toMatchObject({ jobs: 1, keys: 1 });
  });

  test('with lines is the first job too, compressed or not', async () => {
    const first = await send('a', lines(3_000));
    expect([first.status, first.body.total]).toEqual([202, 3_000]);
    expectReplay(await send('a', lines(3_000)), first);
    expectReplay(await send('a', gzipSync(lines(3_000)), {}, { 'content-encoding': 'gzip' }), first);
    expect(await traces(served.app)).toMatchObject({ jobs: 1, uploads: 0 });
  });

  test('with another body, query, path or method is a 422', async () => {
    await submit('a');
    for (const answer of [
      await submit('a', job(1)),
      await submit('a', `${JSON.stringify(job())} `),
      await send('a', lines(1)),
      await served.app.post('/api/v2/tickets/create_many.json', user, job(), withKey('a')),
      await served.app.call(
        'DELETE',
        '/api/v2/tickets/destroy_many.json?ids=1',
        user,
        undefined,
        withKey('a'),
      ),
    ])
      expectError(answer, 422, 'IdempotencyMismatch');
    await send('b', lines(1));
    expectError(await send('b', lines(2)), 422, 'IdempotencyMismatch');
    expectError(await send('b', lines(1), { name: 'x' }), 422, 'IdempotencyMismatch');
    expect(await traces(served.app)).toMatchObject({ jobs: 2, chunks: 2 });
  });

  test('of another account is another key', async () => {
    const other = await served.app.addUser('other@example.com', 'other');
    const [first, second] = [await submit('a'), await submit('a', job(), other)];
    expect([first.status, second.status]).toEqual([202, 202]);
    expect(first.body.id).not.toBe(second.body.id);
  });

  test('is the same with and without .json', async () => {
    const first = await submit('a');
    expectReplay(await served.app.post('/api/v2/jobs', user, job(), withKey('a')), first);
  });

  test('after a day is a new job', async () => {
    const first = await submit('a');
    const [row] = await served.app.prisma.$queryRaw<{ hours: number }[]>`
      SELECT round(extract(epoch FROM expires_at - clock_timestamp()) / 3600)::int AS hours FROM idempotency_keys`;
    expect(row!.hours).toBe(24);
    await served.app.prisma.$executeRaw`UPDATE idempotency_keys SET expires_at = clock_timestamp()`;
    const second = await submit('a', job(1));
    expect(second.status).toBe(202);
    expect(second.body.id).not.toBe(first.body.id);
  });

  test('when its job has been deleted is a 404, and makes no second one', async () => {
    const { body } = await submit('a');
    await served.app.post(`/api/v2/jobs/${body.id}/kill.json`, user, undefined);
    await served.app.call('DELETE', `/api/v2/jobs/${body.id}.json`, user);
    expectError(await submit('a'), 404, 'RecordNotFound');
    expect(await traces(served.app)).toMatchObject({ jobs: 0 });
  });
});

describe('the *_many endpoints of tickets', () => {
  test.each([
    ['POST', '/api/v2/tickets/create_many.json', { tickets: [{ title: 'a' }] }],
    ['PUT', '/api/v2/tickets/update_many.json?ids=1,2', { ticket: { status: 'open' } }],
    ['DELETE', '/api/v2/tickets/destroy_many.json?ids=1,2', undefined],
  ])('%s %s takes a key', async (method, path, body) => {
    const call = () => served.app.call(method, path, user, body, withKey('a'));
    const first = await call();
    expect(first.status).toBe(202);
    expectReplay(await call(), first);
  });
});

describe('a key that cannot be one', () => {
  test.each(['x'.repeat(256), 'ü', ''])('%.10j', async (key) => {
    expectInvalid(await submit(key), 'Idempotency-Key');
    expect(await traces(served.app)).toEqual(NO_TRACES);
  });

  test('but any 255 printable characters can', async () => {
    expect((await submit('~'.repeat(255))).status).toBe(202);
  });
});

describe('a key is free again', () => {
  test('after a refusal, whatever it was', async () => {
    expectInvalid(await submit('a', { type: 'nope', tasks: [1] }), 'type');
    expectError(await submit('a', { ...job(), deadline: '2001-01-01T00:00:00Z' }), 422, 'RecordInvalid');
    expectError(await send('a', '{"n":\n'), 400, 'InvalidJSON');
    expectInvalid(await send('a', ''), 'tasks');
    expect(await traces(served.app)).toEqual(NO_TRACES);
    expect((await submit('a')).status).toBe(202);
  });

  test('after its process has died, when the lease has run out', async () => {
    const dead = { accountId: user.accountId, key: 'a', owner: '019ac000-0000-7000-8000-000000000001' };
    const keys = served.app.app.get(IdempotencyStore);
    expect(await keys.hold(dead, 3_600_000)).toBeNull();
    expectError(await submit('a'), 409, 'RequestInProgress');
    await served.app.prisma.$executeRaw`UPDATE idempotency_keys SET expires_at = clock_timestamp()`;
    expect((await submit('a')).status).toBe(202);
    // What the dead one still says changes nothing.
    await keys.renew(dead, 1);
    await keys.release(dead);
    expect((await submit('a')).status).toBe(200);
  });

  test('and gone, by the sweep of a worker', async () => {
    await submit('a');
    await submit('b');
    await served.app.prisma
      .$executeRaw`UPDATE idempotency_keys SET expires_at = clock_timestamp() WHERE key = 'a'`;
    expect(await served.app.app.get(IdempotencyStore).removeExpired()).toBe(1);
    expect(await traces(served.app)).toMatchObject({ keys: 1 });
  });
});

test('while the first is still being read, the second is a 409 that says when to come back', async () => {
  const first = await SlowUpload.start(served.app.origin, authorizationOf(user), 'type=test.anything', [
    'Idempotency-Key: a',
    'Connection: close',
  ]);
  await first.send(lines(100));
  await waitFor(async () => (await traces(served.app))['keys'] === 1);
  for (const second of [await send('a', lines(100)), await submit('a')]) {
    expectError(second, 409, 'RequestInProgress');
    expect(second.headers.get('retry-after')).toBe('1');
  }
  expect((await first.end()).status).toBe(202);
  expect((await send('a', lines(100))).status).toBe(200);
});

test('a request that has lost its key to another one makes no job', async () => {
  const first = await SlowUpload.start(served.app.origin, authorizationOf(user), 'type=test.anything', [
    'Idempotency-Key: a',
    'Connection: close',
  ]);
  await waitFor(async () => (await traces(served.app))['keys'] === 1);
  await served.app.prisma.$executeRaw`UPDATE idempotency_keys SET expires_at = clock_timestamp()`;
  const second = await submit('a');
  await first.send(lines(1));
  expect((await first.end()).status).toBe(503);
  expect((await submit('a')).body.id).toBe(second.body.id);
  expect(await traces(served.app)).toEqual({ jobs: 1, chunks: 1, uploads: 0, keys: 1 });
});

test('twenty at once are one job', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uuid(), fc.boolean(), async (key, isLines) => {
      const before = (await traces(served.app))['jobs']!;
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => (isLines ? send(key, lines(50)) : submit(key))),
      );
      const statuses = answers.map((answer) => answer.status);
      expect(statuses.filter((status) => status === 202)).toHaveLength(1);
      expect(statuses.filter((status) => ![200, 202, 409].includes(status))).toEqual([]);
      const ids = answers.flatMap((answer) => (answer.body.id as string | undefined) ?? []);
      expect(new Set(ids).size).toBe(1);
      expect((await traces(served.app))['jobs']).toBe(before + 1);
    }),
    { numRuns: 10 },
  );
});
