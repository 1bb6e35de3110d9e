import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { expectError, expectInvalid, JOBS, serve, type Served } from '../http/http-support.js';
import { lines, NO_TRACES, traces, upload } from '../jobs/upload-support.js';
import { jobPath } from './contract-support.js';

/** Each limit is a variable of the environment, and has a clear error. */
let served: Served;
beforeAll(async () => {
  served = await serve({
    env: {
      MAX_TASKS_PER_JOB: '10',
      MAX_TASK_BYTES: '100',
      MAX_BODY_BYTES: '2000',
      MAX_UPLOAD_BYTES: '1500',
      MAX_WORKING_JOBS: '3',
    },
  });
});
afterAll(() => served.stop());
beforeEach(async () => {
  await served.app.prisma.$executeRaw`TRUNCATE job_statuses, task_chunks, job_uploads, idempotency_keys`;
});

const submit = (tasks: readonly unknown[], as = served.user) =>
  served.app.post(JOBS, as, { type: 'test.anything', tasks });
const send = (body: string) => upload(served.app, served.user, body);
const list = (length: number, task: unknown = 1) => Array<unknown>(length).fill(task);

test('MAX_TASKS_PER_JOB: one task more is a 400 TooManyValues with max_count', async () => {
  expect((await submit(list(10))).status).toBe(202);
  expect((await send(lines(10))).status).toBe(202);
  for (const refused of [await submit(list(11)), await send(lines(11))]) {
    expectError(refused, 400, 'TooManyValues');
    expect(refused.body.max_count).toBe(10);
  }
});

test('MAX_TASK_BYTES: a larger task is a 422 that names it', async () => {
  expect((await submit([1, 'x'.repeat(98)])).status).toBe(202);
  expectInvalid(await submit([1, 'x'.repeat(99)]), 'tasks.1');
  expectInvalid(await send(`1\n"${'x'.repeat(99)}"\n`), 'tasks.1');
});

test('MAX_BODY_BYTES: a larger JSON body is a 413', async () => {
  const body = JSON.stringify({ type: 'test.anything', tasks: [1] });
  const padded = (bytes: number) => body + ' '.repeat(bytes - body.length);
  expect((await served.app.post(JOBS, served.user, padded(2_000))).status).toBe(202);
  expectError(await served.app.post(JOBS, served.user, padded(2_001)), 413, 'PayloadTooLarge');
});

test('MAX_UPLOAD_BYTES: more bytes of lines are a 413', async () => {
  expect((await send('1\n'.repeat(10) + '\n'.repeat(1_480))).status).toBe(202);
  expectError(await send('1\n'.repeat(10) + '\n'.repeat(1_481)), 413, 'PayloadTooLarge');
});

test('MAX_WORKING_JOBS: one job more is a 429 TooManyJobs that names those that work', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 3; n += 1) ids.push((await submit([1])).body.id);
  for (const refused of [await submit([1]), await send(lines(1))]) {
    expectError(refused, 429, 'TooManyJobs');
    expect(refused.body.current_job_ids).toEqual(ids);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  }
  const other = await served.app.addUser('other@example.com', 'other');
  expect((await submit([1], other)).status).toBe(202);
  await served.app.post(jobPath(ids[0]!, 'kill'), served.user, undefined);
  expect((await submit([1])).status).toBe(202);
});

test('MAX_REQUESTS_PER_SECOND: what an account asks beyond it is a 429 TooManyRequests', async () => {
  const { app, user, stop } = await serve({ env: { MAX_REQUESTS_PER_SECOND: '2' } });
  try {
    const answers = await Promise.all(Array.from({ length: 12 }, () => app.get(JOBS, user)));
    const refused = answers.filter((answer) => answer.status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(8);
    for (const answer of refused) {
      expectError(answer, 429, 'TooManyRequests');
      expect(answer.headers.get('retry-after')).toBe('1');
    }
  } finally {
    await stop();
  }
});

test('MAX_REQUESTS_PER_SECOND is 0 unless it is set: any number is answered', async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, () => served.app.get(JOBS, served.user)));
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
});

test('what any limit refuses leaves nothing behind', async () => {
  await submit(list(11));
  await submit(['x'.repeat(99)]);
  await submit(list(10, 'x'.repeat(400)));
  await send(lines(11));
  await send('1\n'.repeat(1_000));
  expect(await traces(served.app)).toEqual(NO_TRACES);
});
