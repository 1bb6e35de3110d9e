import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createClient, ndjson, TallyError, type TallyClient } from '../../src/client/client.js';
import { serve, type Served } from '../http/http-support.js';
import { PASSWORD } from '../support/app.js';

let served: Served;
let client: TallyClient;
const EMAIL = 'zoë@example.com';

beforeAll(async () => {
  served = await serve({ role: 'all' });
  await served.app.addUser(EMAIL, 'main', 'admin');
  client = createClient({
    baseUrl: `${served.app.origin}/`,
    credentials: { email: EMAIL, password: PASSWORD },
  });
});
afterAll(() => served.stop());

/** What is alive is what is left. */
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const sleeps = (total: number, ms = 0) => Array.from({ length: total }, (_, n) => ({ ms, note: `${n}` }));
const failing = (total: number) =>
  Array.from({ length: total }, (_, n) => ({ times: 9, message: `no ${n}` }));
const refusal = (asked: Promise<unknown>): Promise<TallyError> =>
  asked.then(
    () => Promise.reject(new Error('expected it to be refused')),
    (error: unknown) => (error instanceof TallyError ? error : Promise.reject(error as Error)),
  );

describe('a client', () => {
  test('submits a job, waits for its end and reads its results', async () => {
    const { id, status } = await client.submit({ type: 'demo.sleep', tasks: sleeps(3), name: 'three' });
    expect(status).toBe('working');
    const ended = await client.waitForJob(id);
    expect(ended).toMatchObject({ id, status: 'completed', progress: 3, total: 3 });
    expect(ended.results).toHaveLength(3);
    expect(await client.job(id)).toMatchObject({
      name: 'three',
      created_by: EMAIL,
      counts: { succeeded: 3 },
    });
    const { items, meta } = await client.results(id, { size: 2 });
    expect(items.map(({ index }) => index)).toEqual([0, 1]);
    const rest = await client.results(id, { size: 2, after: meta.after_cursor! });
    expect(rest.items.map(({ index }) => index)).toEqual([2]);
  });

  test('may be known by its token', async () => {
    const token = await served.app.addToken(served.user);
    const other = createClient({ baseUrl: served.app.origin, credentials: { token } });
    const { id } = await other.submit({ type: 'demo.sleep', tasks: sleeps(1) });
    expect((await other.job(id)).created_by).toBe(served.user.email);
  });

  test('streams tasks as they are made', async () => {
    let made = 0;
    function* tasks() {
      for (; made < 30_000; made += 1)
        yield { ms: 0, note: 'as long as it may be, so that it takes more than one piece' };
    }
    const options = { name: 'streamed', metadata: { from: 'here' }, priority: 5, max_failures: null };
    const { id, total } = await client.submitStream('demo.sleep', ndjson(tasks()), options);
    expect([total, made]).toEqual([30_000, 30_000]);
    expect(await client.job(id)).toMatchObject({ name: 'streamed', metadata: { from: 'here' }, priority: 5 });
    expect(await client.kill(id)).toMatchObject({ status: 'killed' });
  });

  test('keeps nothing of a stream that it has sent', async () => {
    const sink = createServer((request, response) => {
      request.resume().on('end', () => response.end('{"id":"sent"}'));
    }).listen(0, '127.0.0.1');
    await once(sink, 'listening');
    const { port } = sink.address() as AddressInfo;
    const [piece, pieces] = [1024 * 1024, 64];
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    let [sent, kept] = [0, NaN];
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < pieces) {
          controller.enqueue(new Uint8Array(piece).fill(32));
          return;
        }
        collectGarbage();
        kept = process.memoryUsage().arrayBuffers - before;
        controller.close();
      },
    });
    await createClient({ baseUrl: `http://127.0.0.1:${port}` }).submitStream('demo.sleep', body);
    sink.close();
    expect(kept / piece).toBeLessThan(pieces / 2);
  });

  test('gets the first job again for the same Idempotency-Key', async () => {
    const submission = { type: 'demo.sleep', tasks: sleeps(1) };
    const first = await client.submit(submission, { idempotencyKey: 'k-1' });
    expect((await client.submit(submission, { idempotencyKey: 'k-1' })).id).toBe(first.id);
    const other = { ...submission, tasks: sleeps(2) };
    expect(await refusal(client.submit(other, { idempotencyKey: 'k-1' }))).toMatchObject({
      status: 422,
      error: 'IdempotencyMismatch',
    });
  });

  test('pauses, resumes, kills, retries and removes', async () => {
    const { id } = await client.submit({ type: 'demo.sleep', tasks: sleeps(100, 200) });
    expect((await client.pause(id)).paused).toBe(true);
    expect((await client.resume(id)).paused).toBe(false);
    expect((await client.kill(id)).status).toBe('killed');
    const again = await client.retry(id);
    expect(again.retry_of).toBe(id);
    await client.kill(again.id);
    await client.remove(again.id);
    expect(await refusal(client.job(again.id))).toMatchObject({ status: 404, error: 'RecordNotFound' });
  });

  test('lists jobs by their filters, by pages', async () => {
    for (const name of ['list a', 'list b'])
      await client.submit({ type: 'demo.sleep', tasks: sleeps(1), name });
    const { items, meta } = await client.jobs({ name: 'list a', type: 'demo.sleep' });
    expect(items.map(({ name }) => name)).toEqual(['list a']);
    expect(meta.has_more).toBe(false);
    expect((await client.jobs({ size: 1 })).meta.has_more).toBe(true);
  });

  test('exports only what failed, as text', async () => {
    const job = { type: 'demo.fail', tasks: failing(3), max_attempts: 1 };
    const { id } = await client.submit(job);
    expect(await client.waitForJob(id)).toMatchObject({ status: 'completed' });
    const lines = (await new Response(await client.exportResults(id, 'ndjson', { success: false })).text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ index, task }) => [index, task.message])).toEqual([[0, 'no 0'], [1, 'no 1'], [2, 'no 2']]); // prettier-ignore
    const csv = await new Response(await client.exportResults(id, 'csv')).text();
    expect(csv.trim().split(/\r?\n/)).toHaveLength(4);
  });

  test('knows the other routes by the OpenAPI document', async () => {
    const { data } = await client.api.GET('/healthz');
    expect(data).toBeDefined();
  });
});

describe('an error', () => {
  test('says which tasks were refused, and why', async () => {
    const tasks = [{ ms: 1 }, { ms: 'soon' }];
    const error = await refusal(client.submit({ type: 'demo.sleep', tasks }));
    expect(error).toMatchObject({
      name: 'TallyError',
      status: 422,
      error: 'RecordInvalid',
      isTransient: false,
    });
    expect(error.details['tasks.1.ms']).toEqual([{ description: expect.any(String), position: 1 }]);
  });

  test('has what the service says beside it', async () => {
    const ids = Array.from({ length: 101 }, () => '0'.repeat(32)).join(',');
    const many = client.api.GET('/api/v2/job_statuses/show_many.json', { params: { query: { ids } } });
    expect((await refusal(many)).extra).toEqual({ max_count: 100 });
  });

  test('of wrong credentials is a refusal', async () => {
    const stranger = createClient({ baseUrl: served.app.origin, credentials: { token: 'x' } });
    expect(await refusal(stranger.jobs())).toMatchObject({ status: 401, error: 'Unauthorized' });
  });

  const refusedFor = async (retryAfter: string) => {
    const fetch = () =>
      Promise.resolve(new Response('busy', { status: 503, headers: { 'retry-after': retryAfter } }));
    return refusal(createClient({ baseUrl: served.app.origin, fetch }).jobs());
  };

  test('says how long to wait, in seconds, however the service says it', async () => {
    const error = await refusedFor('3');
    expect(error).toMatchObject({ status: 503, error: 'UnexpectedAnswer', isTransient: true });
    expect(error.retryAfterSeconds).toBe(3);
    const { retryAfterSeconds } = await refusedFor(new Date(Date.now() + 3_600_000).toUTCString());
    expect(retryAfterSeconds).toBeGreaterThan(3_000);
    expect(retryAfterSeconds).toBeLessThanOrEqual(3_600);
    expect((await refusedFor('soon')).retryAfterSeconds).toBeNull();
  });

  test('without an answer says why there is none', async () => {
    const nobody = createClient({ baseUrl: 'http://127.0.0.1:1' });
    const error = await refusal(nobody.jobs());
    expect(error).toMatchObject({ status: 0, error: 'Unreachable' });
    expect(error.description).toMatch(/ECONNREFUSED|bad port/);
  });
});

describe('a service with ENVELOPE=job_status', () => {
  test('is understood as well', async () => {
    const own = await serve({ role: 'all', env: { ENVELOPE: 'job_status' } });
    const token = await own.app.addToken(own.user);
    const inEnvelope = createClient({ baseUrl: own.app.origin, credentials: { token } });
    const { id } = await inEnvelope.submit({ type: 'demo.sleep', tasks: sleeps(1) });
    expect(await inEnvelope.waitForJob(id)).toMatchObject({ id, status: 'completed' });
    await own.stop();
  });
});
