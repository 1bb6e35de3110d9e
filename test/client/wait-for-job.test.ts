import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createClient, TallyError, type JobStatus, type TallyClient } from '../../src/client/client.js';
import { serve, type Served } from '../http/http-support.js';
import { freePort, Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

let served: Served;
let client: TallyClient;
let credentials: { token: string };

beforeAll(async () => {
  served = await serve({ role: 'all', env: { WORKER_CONCURRENCY: '10' } });
  credentials = { token: await served.app.addToken(served.user) };
  client = createClient({ baseUrl: served.app.origin, credentials });
});
const processes: Service[] = [];
afterAll(async () => {
  await Promise.all(processes.map((one) => one.stop('SIGKILL')));
  await served.stop();
});

const submit = async (total: number, ms: number) =>
  (await client.submit({ type: 'demo.sleep', tasks: Array.from({ length: total }, () => ({ ms })) })).id;

/** Another process beside the one that works. */
const startApi = async (port: string): Promise<Service> => {
  const api = await Service.start({ DATABASE_URL: served.url, ROLE: 'api', PORT: port });
  processes.push(api);
  return api;
};

describe('waiting for a job', () => {
  test('hears of its progress, which only grows, and of its end, through a kill -9 of the API', async () => {
    const api = await startApi(String(await freePort()));
    const id = await submit(400, 200);
    const through = createClient({ baseUrl: api.origin, credentials });
    const seen: JobStatus[] = [];
    const ended = through.waitForJob(id, { pollSeconds: 1, onProgress: (status) => seen.push(status) });
    await waitFor(() => seen.some(({ progress }) => progress > 0), { timeoutMs: 20_000 });
    await api.stop('SIGKILL');
    const before = seen.length;
    await startApi(new URL(api.origin).port);
    expect(await ended).toMatchObject({ id, status: 'completed', progress: 400 });
    expect(seen.length).toBeGreaterThan(before);
    const progress = seen.map((status) => status.progress);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(seen.at(-1)?.status).toBe('completed');
  }, 90_000);

  test('is over when the signal says so, and the job goes on', async () => {
    const id = await submit(100, 300);
    const stop = new AbortController();
    const looks: string[] = [];
    const ended = client.waitForJob(id, {
      signal: stop.signal,
      pollSeconds: 60,
      onProgress: ({ status }) => looks.push(status),
    });
    await waitFor(() => looks.length > 0);
    stop.abort(new Error('enough'));
    await expect(ended).rejects.toThrow('enough');
    expect((await client.status(id)).status).toBe('working');
    await expect(client.waitForJob(id, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow(
      'before',
    );
  });

  test('sees a paused job go on, and its kill', async () => {
    const id = await submit(1_000, 100);
    await client.pause(id);
    const seen: JobStatus[] = [];
    const ended = client.waitForJob(id, { pollSeconds: 1, onProgress: (status) => seen.push(status) });
    await waitFor(() => seen.length > 0);
    await client.kill(id);
    expect(await ended).toMatchObject({ status: 'killed' });
  });

  test('of a job that is not there is an error at once', async () => {
    await expect(client.waitForJob('0'.repeat(32))).rejects.toMatchObject({ error: 'RecordNotFound' });
  });

  test('gives up when the service is away for longer than it has patience', async () => {
    const nobody = createClient({ baseUrl: 'http://127.0.0.1:1' });
    const error = await nobody
      .waitForJob('0'.repeat(32), { patienceSeconds: 1 })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TallyError);
    expect(error).toMatchObject({ status: 0, error: 'Unreachable' });
  });

  test.each([0, 61, 1.5])('refuses pollSeconds %s', async (pollSeconds) => {
    await expect(client.waitForJob('0'.repeat(32), { pollSeconds })).rejects.toThrow(/pollSeconds/);
  });
});

describe('waiting behind something that answers for the service', () => {
  const job = { id: 'a'.repeat(32), url: 'http://x/', total: 2, message: null, results: [] };
  const working = (response: ServerResponse, etag: string) =>
    response.setHeader('etag', etag).setHeader('content-type', 'application/json').end(JSON.stringify({ ...job, progress: 1, status: 'working' })); // prettier-ignore
  const completed = (response: ServerResponse) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ ...job, progress: 2, status: 'completed' })); // prettier-ignore

  /** Answers the n-th request by the n-th of these. */
  async function behind(answers: ((response: ServerResponse, request: IncomingMessage) => void)[]) {
    const asked: { ms: number; prefer: unknown; tag: unknown }[] = [];
    const server = createServer((request, response) => {
      const { prefer, 'if-none-match': tag } = request.headers;
      asked.push({ ms: performance.now(), prefer, tag });
      answers[asked.length - 1]?.(response, request);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const through = createClient({ baseUrl: `http://127.0.0.1:${port}` });
    const ended = await through.waitForJob(job.id, { pollSeconds: 1 }).finally(() => server.close());
    return { ended, asked };
  }

  test('honours Retry-After, and survives a cut connection, half an answer and a strange page', async () => {
    const { ended, asked } = await behind([
      (response) => response.writeHead(429, { 'retry-after': '2' }).end(),
      (response) => response.destroy(),
      (response) => response.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' }).write('{"id', () => response.destroy()), // prettier-ignore
      (response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad Gateway</h1>'),
      (response) => completed(response),
    ]);
    expect(ended.status).toBe('completed');
    expect(asked).toHaveLength(5);
    expect(asked[1]!.ms - asked[0]!.ms).toBeGreaterThan(1_990);
  }, 60_000);

  test('asks a moving job once in pollSeconds, and holds a still one by its ETag', async () => {
    const { asked } = await behind([
      (response) => working(response, '"1"'),
      (response) => working(response, '"1"'),
      (response) => response.writeHead(304, { etag: '"1"' }).end(),
      (response) => working(response, '"2"'),
      completed,
    ]);
    expect(asked.map(({ prefer, tag }) => [prefer, tag])).toEqual([
      ['wait=0', undefined],
      ['wait=1', undefined],
      ['wait=30', '"1"'],
      ['wait=30', '"1"'],
      ['wait=1', undefined],
    ]);
    // Answers that were not held, as behind a proxy that takes Prefer away, are not asked for without a pause.
    expect(asked[3]!.ms - asked[1]!.ms).toBeGreaterThan(1_900);
  }, 60_000);
});
