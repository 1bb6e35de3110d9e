import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestUser } from '../support/app.js';
import { expectError, JOBS, serve, submitted, type Served } from '../http/http-support.js';
import { lines, SlowUpload, traces, upload } from './upload-support.js';
import { authorizationOf } from '../http/http-support.js';
import { waitFor } from '../support/wait-for.js';

const MAX = 5;
const job = { type: 'test.anything', tasks: [1, 2] };

describe('MAX_WORKING_JOBS', () => {
  let served: Served;
  let user: TestUser;
  beforeAll(async () => {
    served = await serve({ env: { MAX_WORKING_JOBS: String(MAX) } });
    user = served.user;
  });
  afterAll(() => served.stop());
  afterEach(async () => {
    await served.app.prisma.$executeRaw`TRUNCATE job_statuses, task_chunks, job_uploads, idempotency_keys`;
  });

  const submit = (headers = {}) => served.app.post(JOBS, user, job, headers);
  const fill = async () => {
    const ids: string[] = [];
    for (let n = 0; n < MAX; n += 1) ids.push(await submitted(served));
    return ids;
  };
  const full = { jobs: MAX, chunks: MAX, uploads: 0, keys: 0 };

  test('refuses one more, and names those that work', async () => {
    const ids = await fill();
    for (const answer of [
      await submit(),
      await submit({ 'idempotency-key': 'a' }),
      await upload(served.app, user, lines(3)),
      await served.app.post('/api/v2/tickets/create_many.json', user, { tickets: [{ title: 'a' }] }),
    ]) {
      expectError(answer, 429, 'TooManyJobs');
      expect(answer.body.current_job_ids).toEqual(ids);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect(await traces(served.app)).toEqual(full);
  });

  test('counts working jobs alone, an account each', async () => {
    const [first] = await fill();
    const other = await served.app.addUser(`${Date.now()}@example.com`, 'other');
    expect((await served.app.post(JOBS, other, job)).status).toBe(202);
    await served.app.post(`/api/v2/jobs/${first}/kill.json`, user, undefined);
    expect((await submit()).status).toBe(202);
    expect((await submit()).status).toBe(429);
  });

  test('is exact when many come at once, in one piece and in lines', async () => {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, n) => (n % 2 ? submit() : upload(served.app, user, lines(3)))),
    );
    expect(answers.filter((answer) => answer.status === 202)).toHaveLength(MAX);
    expect(answers.filter((answer) => answer.status === 429)).toHaveLength(30 - MAX);
    expect(await traces(served.app)).toMatchObject({ jobs: MAX, uploads: 0 });
  });

  test('is asked again when the last line of an upload is in', async () => {
    const slow = await SlowUpload.start(served.app.origin, authorizationOf(user));
    await slow.send(lines(30_000));
    await waitFor(async () => (await traces(served.app))['uploads'] === 1);
    await fill();
    const answer = await slow.end();
    expect([answer.status, answer.text]).toEqual([429, expect.stringContaining('TooManyJobs')]);
    expect(await traces(served.app)).toEqual(full);
  });

  test('holds for a retry, but not for being told of the one that there is', async () => {
    const [first, second] = await fill();
    const retry = (id: string | undefined) =>
      served.app.post(`/api/v2/jobs/${id}/retry.json`, user, undefined);
    await served.app.post(`/api/v2/jobs/${first}/kill.json`, user, undefined);
    const made = await retry(first);
    expect(made.status).toBe(202);
    expect((await submit()).status).toBe(429);
    expect((await retry(first)).body.id).toBe(made.body.id);
    await served.app.post(`/api/v2/jobs/${second}/kill.json`, user, undefined);
    expect((await submit()).status).toBe(202);
    const refused = await retry(second);
    expectError(refused, 429, 'TooManyJobs');
    expect(refused.body.current_job_ids).toHaveLength(MAX);
  });
});

describe('MAX_REQUESTS_PER_SECOND', () => {
  test('refuses what an account asks beyond it, and says when to come back', async () => {
    const { app, user, stop } = await serve({ env: { MAX_REQUESTS_PER_SECOND: '3' } });
    try {
      const other = await app.addUser('other@example.com', 'other');
      await Promise.all([app.get(JOBS, user), app.get(JOBS, other)]);
      const answers = await Promise.all(Array.from({ length: 20 }, () => app.get(JOBS, user)));
      const refused = answers.filter((answer) => answer.status === 429);
      expect(refused.length).toBeGreaterThan(10);
      for (const answer of refused) {
        expectError(answer, 429, 'TooManyRequests');
        expect(answer.headers.get('retry-after')).toBe('1');
      }
      expect((await app.get(JOBS, other)).status).toBe(200);
      expect((await app.get('/healthz', null)).status).toBe(200);
      await waitFor(async () => (await app.get(JOBS, user)).status === 200);
    } finally {
      await stop();
    }
  });
});
