import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { connect } from 'node:net';
import { JobWatcher } from '../../src/jobs/job-watcher.js';
import type { Answer, TestUser } from '../support/app.js';
import { countStatements } from '../support/statements.js';
import { waitFor } from '../support/wait-for.js';
import {
  authorizationOf,
  expectError,
  JOBS,
  serve,
  sleepJob,
  submitted,
  type Served,
} from '../http/http-support.js';
import { bigJob } from './results-support.js';

/** More than any of these waits should take. */
const AT_ONCE_MS = 2_000;

let served: Served;
let user: TestUser;
let watcher: JobWatcher;
beforeAll(async () => {
  served = await serve();
  ({ user } = served);
  watcher = served.app.app.get(JobWatcher);
});
afterAll(() => served.stop());

const statusOf = (id: string) => `/api/v2/job_statuses/${id}.json`;
const act = (id: string, what: string) => served.app.post(`/api/v2/jobs/${id}/${what}.json`, user, undefined);

interface Timed extends Answer {
  readonly ms: number;
}

async function wait(id: string, prefer: string, headers: Record<string, string> = {}): Promise<Timed> {
  const began = performance.now();
  const answer = await served.app.get(statusOf(id), user, { prefer, ...headers });
  return { ...answer, ms: performance.now() - began };
}

const waiting = (count: number) => waitFor(() => watcher.watches === count, { what: `${count} waiting` });

describe('Prefer: wait', () => {
  test('holds the answer until the job ends', async () => {
    const id = await submitted(served);
    const held = wait(id, 'wait=30');
    await waiting(1);
    await act(id, 'pause');
    await act(id, 'resume');
    await act(id, 'kill');
    const { status, headers, body, ms } = await held;
    expect([status, body.status]).toEqual([200, 'killed']);
    expect(headers.get('preference-applied')).toBe('wait=30');
    expect(headers.has('retry-after')).toBe(false);
    expect(ms).toBeLessThan(10_000);
    expect(watcher.watches).toBe(0);
  });

  test('is answered with the state there is when the time is over', async () => {
    const id = await submitted(served);
    const { status, body, headers, ms } = await wait(id, 'wait=1');
    expect([status, body.status, headers.get('preference-applied')]).toEqual([200, 'working', 'wait=1']);
    expect(ms).toBeGreaterThan(950);
    expect(ms).toBeLessThan(1_000 + AT_ONCE_MS);
  });

  test('sees the end of a job that a worker completes', async () => {
    const own = await serve({ role: 'all' });
    const { body } = await own.app.post(JOBS, own.user, {
      type: 'demo.sleep',
      tasks: Array.from({ length: 30 }, () => ({ ms: 20 })),
    });
    const answer = await own.app.get(statusOf(body.id), own.user, { prefer: 'wait=20' });
    expect(answer.body).toMatchObject({ status: 'completed', progress: 30 });
    expect(answer.body.results).toHaveLength(30);
    await own.stop();
  });

  test('does not hold the answer of a job that has ended', async () => {
    const id = await bigJob(served, 3);
    const { status, ms, headers } = await wait(id, 'wait=50');
    expect([status, headers.get('preference-applied')]).toEqual([200, 'wait=50']);
    expect(ms).toBeLessThan(AT_ONCE_MS);
    const known = await wait(id, 'wait=50', { 'if-none-match': headers.get('etag')! });
    expect([known.status, known.text, known.headers.get('preference-applied')]).toEqual([304, '', 'wait=50']);
    expect(known.ms).toBeLessThan(AT_ONCE_MS);
  });

  test('is a minute at most, and says so', async () => {
    const { headers } = await wait(await bigJob(served, 1), 'wait=3600');
    expect(headers.get('preference-applied')).toBe('wait=60');
  });

  test.each(['wait=0', 'wait=soon', 'respond-async'])('holds nothing for %s', async (prefer) => {
    const { status, headers, ms } = await wait(await submitted(served), prefer);
    expect([status, headers.get('preference-applied')]).toEqual([200, prefer === 'wait=0' ? prefer : null]);
    expect(ms).toBeLessThan(AT_ONCE_MS);
  });

  test('is 404 at once for a job that is not there', async () => {
    const answer = await wait('0'.repeat(32), 'wait=30');
    expectError(answer, 404, 'RecordNotFound');
    expect(answer.ms).toBeLessThan(AT_ONCE_MS);
  });
});

describe('Prefer: wait with If-None-Match', () => {
  const tagOf = async (id: string) => (await served.app.get(statusOf(id), user)).headers.get('etag')!;

  test('holds the answer until the job changes', async () => {
    const id = await submitted(served);
    const held = wait(id, 'wait=30', { 'if-none-match': await tagOf(id) });
    await waiting(1);
    await act(id, 'pause');
    const { status, body, headers, ms } = await held;
    expect([status, body.status, headers.get('preference-applied')]).toEqual([200, 'working', 'wait=30']);
    expect(headers.get('etag')).toBe(await tagOf(id));
    expect(ms).toBeLessThan(10_000);
  });

  test('is 304 when it has not changed in time', async () => {
    const id = await submitted(served);
    const tag = await tagOf(id);
    const { status, text, headers } = await wait(id, 'wait=1', { 'if-none-match': tag });
    expect([status, text]).toEqual([304, '']);
    expect(headers.get('etag')).toBe(tag);
    expect(headers.get('preference-applied')).toBe('wait=1');
  });

  test('is answered at once when the client knows something else', async () => {
    const { status, ms } = await wait(await submitted(served), 'wait=30', { 'if-none-match': '"x"' });
    expect(status).toBe(200);
    expect(ms).toBeLessThan(AT_ONCE_MS);
  });
});

describe('however many wait', () => {
  test('the database is asked ten times a second, and not at all when nobody does', async () => {
    const id = await submitted(served);
    const others = await Promise.all(Array.from({ length: 10 }, () => submitted(served)));
    const statements = countStatements(/job_statuses/);
    try {
      const held = Array.from({ length: 200 }, () => wait(id, 'wait=60'));
      const more = others.map((other) => wait(other, 'wait=60'));
      await waiting(210);
      const before = statements.count;
      const began = performance.now();
      await waitFor(() => statements.count - before >= 10);
      expect(performance.now() - began).toBeGreaterThan(900);
      expect(watcher.watches).toBe(210);
      const kills = statements.count;
      await act(id, 'kill');
      const answers = await Promise.all(held);
      expect(new Set(answers.map(({ status, body }) => `${status} ${body.status}`))).toEqual(
        new Set(['200 killed']),
      );
      // The kill itself, some looks, and as few reads for all as come together.
      expect(statements.count - kills).toBeLessThan(40);
      await Promise.all(others.map((other) => act(other, 'kill')));
      await Promise.all(more);
      const after = statements.count;
      await waiting(0);
      await served.app.get('/healthz', null);
      expect((await wait(id, 'wait=1')).ms).toBeLessThan(AT_ONCE_MS);
      expect(statements.count - after).toBeLessThan(5);
    } finally {
      statements.stop();
    }
  });

  test('a client that goes is forgotten', async () => {
    const id = await submitted(served);
    const client = new AbortController();
    const held = fetch(served.app.origin + statusOf(id), {
      headers: { authorization: authorizationOf(user), prefer: 'wait=60' },
      signal: client.signal,
    });
    await waiting(1);
    client.abort();
    await expect(held).rejects.toThrow(/abort/);
    await waiting(0);
  });

  test('a client that has connected and asked for nothing does not hold up the end of the server', async () => {
    const own = await serve();
    const { port } = new URL(own.app.origin);
    const socket = connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    const closed = once(socket, 'close');
    await own.stop();
    await closed;
  });

  test('all are answered at once when the server stops', async () => {
    const own = await serve();
    const id = (await own.app.post(JOBS, own.user, sleepJob())).body.id as string;
    const held = Array.from({ length: 20 }, () => own.app.get(statusOf(id), own.user, { prefer: 'wait=60' }));
    await waitFor(() => own.app.app.get(JobWatcher).watches === 20);
    const began = performance.now();
    const stopping = own.stop();
    for (const { status, body } of await Promise.all(held))
      expect([status, body.status]).toEqual([200, 'working']);
    await stopping;
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
