import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { IdempotencyStore } from '../../src/jobs/idempotency.store.js';
import { JobControlStore } from '../../src/jobs/job-control.store.js';
import { failed, succeeded } from '../../src/jobs/task-handler.js';
import { authorizationOf } from '../http/http-support.js';
import { bigJob } from '../jobs/results-support.js';
import type { TestApp, TestUser } from '../support/app.js';
import { single, tasks } from '../support/handlers.js';
import { waitFor } from '../support/wait-for.js';
import { HOURS, Kept, LEASE_MS, NOTHING, run, storeOf } from './retention-support.js';

let kept: Kept;
let app: TestApp;
let user: TestUser;

beforeEach(async () => {
  kept = await Kept.start();
  ({ app, user } = kept);
});
afterEach(() => kept.stop());

describe('an ended job', () => {
  it('goes with its results when its time is over, and not a minute earlier', async () => {
    const id = await bigJob({ app, user }, 50, { failEvery: 7 });
    await kept.endedAgo(id, '167 hours 59 minutes');
    await run(app);
    expect((await kept.job(id)).status).toBe(200);
    expect(await kept.rows()).toMatchObject({ jobs: 1, results: 50 });
    await kept.endedAgo(id, '168 hours');
    await run(app);
    expect((await kept.job(id)).status).toBe(404);
    expect(await kept.rows()).toEqual(NOTHING);
  });

  it('goes, and everything else stays', async () => {
    const old = [];
    for (let n = 0; n < 5; n += 1) {
      old.push(await bigJob({ app, user }, 300));
      await bigJob({ app, user }, 200);
    }
    for (const id of old) await kept.endedAgo(id, '9 days');
    await kept.submit(20);
    await run(app);
    expect(await kept.rows()).toEqual({ ...NOTHING, jobs: 6, results: 1_000, chunks: 2 });
    const [wrong] = await app.prisma.$queryRaw<{ n: number }[]>`
      SELECT count(*)::int AS n FROM job_statuses j
       WHERE progress <> (SELECT count(*) FROM job_results WHERE job_id = j.id)`;
    expect(wrong!.n).toBe(0);
  });

  it('goes as a worker runs, without anybody asking', async () => {
    const handler = single((task) => succeeded(task.n));
    const worker = await kept.another({ role: 'all', handlers: [handler] });
    const body = { type: 'test.task', tasks: tasks(30) };
    const { body: made } = await worker.post('/api/v2/jobs.json', user, body);
    await waitFor(async () => (await kept.job(made.id)).body.status === 'completed');
    await kept.endedAgo(made.id, '168 hours');
    await waitFor(async () => Object.values(await kept.rows()).every((n) => n === 0));
    expect((await worker.get(made.url, user)).status).toBe(404);
  });

  it('that is being exported breaks the export off, so that nobody takes it for whole', async () => {
    const id = await bigJob({ app, user }, 30_000, { padding: 1_000 });
    const request = httpGet(`${app.origin}/api/v2/jobs/${id}/results.ndjson`, {
      headers: { authorization: authorizationOf(user) },
    });
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    await kept.endedAgo(id, '168 hours');
    const store = storeOf(app);
    await store.take('test', LEASE_MS);
    expect(await store.expire('test', LEASE_MS, HOURS)).toMatchObject({ jobs: 1 });
    const closed = new Promise((resolve) => answer.on('close', resolve));
    answer.resume();
    await closed;
    expect(answer.complete).toBe(false);
  });
});

it('a working job never goes, however old it is', async () => {
  const ids = [await kept.submit(5), await kept.submit(5)];
  await kept.act(ids[1]!, 'pause');
  await app.prisma.$executeRaw`
    UPDATE job_statuses SET created_at = created_at - interval '9 years', started_at = created_at - interval '9 years'`;
  await run(app);
  expect(await kept.rows()).toMatchObject({ jobs: 2, chunks: 2 });
});

describe('a killed job', () => {
  it('keeps its chunks until its time is over, and can be retried until then', async () => {
    const id = await kept.submit(1_000);
    await kept.act(id, 'kill');
    await kept.endedAgo(id, '167 hours 59 minutes');
    await run(app);
    expect(await kept.rows()).toMatchObject({ jobs: 1, chunks: 4 });
    expect((await kept.act(id, 'retry')).body).toMatchObject({ retry_of: id, total: 1_000 });
  });

  it('then goes with its chunks, and a retry is a 404', async () => {
    const id = await kept.submit(1_000);
    await kept.act(id, 'kill');
    await kept.endedAgo(id, '168 hours');
    await run(app);
    expect(await kept.rows()).toEqual(NOTHING);
    for (const what of ['retry', 'kill', 'pause', 'resume'])
      expect((await kept.act(id, what)).status).toBe(404);
  });

  it('that goes between the look of a retry and its statement is a 404 as well', async () => {
    const id = await kept.submit(10);
    await kept.act(id, 'kill');
    const control = app.app.get(JobControlStore);
    const retry = JobControlStore.prototype.retry.bind(control);
    control.retry = async (...parameters) => {
      await kept.endedAgo(id, '168 hours');
      await run(app);
      return retry(...parameters);
    };
    expect((await kept.act(id, 'retry')).status).toBe(404);
    expect(await kept.rows()).toEqual(NOTHING);
  });
});

it('the retry of a job outlives it, and says of which it was', async () => {
  let isBroken = true;
  const handler = single((task) => (isBroken ? failed('Broken', 'It is broken') : succeeded(task.n)));
  const worker = await kept.another({ role: 'all', handlers: [handler] });
  const body = { type: 'test.task', tasks: tasks(10) };
  const { body: first } = await worker.post('/api/v2/jobs.json', user, body);
  await waitFor(async () => (await kept.job(first.id)).body.status === 'completed');
  await worker.worker.stop();
  const { body: second } = await kept.act(first.id, 'retry', worker);
  await kept.endedAgo(first.id, '168 hours');
  await run(app);
  expect(await kept.rows()).toMatchObject({ jobs: 1, results: 0 });
  isBroken = false;
  await worker.worker.start();
  await waitFor(async () => (await kept.job(second.id)).body.status === 'completed');
  expect((await kept.job(second.id)).body).toMatchObject({ retry_of: first.id, progress: 10 });
  expect((await kept.act(first.id, 'retry')).status).toBe(404);
});

describe('an idempotency key', () => {
  const withKey = { 'Idempotency-Key': 'a' };

  it('is gone when its job goes', async () => {
    const id = await kept.submit(5, withKey);
    await kept.act(id, 'kill');
    // What a week does to both.
    await kept.endedAgo(id, '168 hours');
    await app.prisma.$executeRaw`UPDATE idempotency_keys SET expires_at = expires_at - interval '168 hours'`;
    await run(app);
    await app.app.get(IdempotencyStore).removeExpired();
    expect(await kept.rows()).toEqual(NOTHING);
  });

  it('holds its day where jobs are kept for less, so that nothing is done twice', async () => {
    const brief = await kept.another({ env: { RETENTION_HOURS: '1' } });
    const id = await kept.submit(5, withKey);
    await kept.act(id, 'kill');
    await kept.endedAgo(id, '1 hour');
    await run(brief);
    await app.app.get(IdempotencyStore).removeExpired();
    const again = { type: 'test.anything', tasks: tasks(5) };
    expect((await app.post('/api/v2/jobs.json', user, again, withKey)).status).toBe(404);
    expect(await kept.rows()).toEqual({ ...NOTHING, keys: 1 });
    await app.prisma.$executeRaw`UPDATE idempotency_keys SET expires_at = clock_timestamp()`;
    await app.app.get(IdempotencyStore).removeExpired();
    expect(await kept.rows()).toEqual(NOTHING);
  });
});

it.each([365, -365])('a process clock that is %i days off is no matter', async (days) => {
  const young = await bigJob({ app, user }, 10);
  await kept.endedAgo(await bigJob({ app, user }, 10), '168 hours');
  const realNow = Date.now;
  try {
    Date.now = () => realNow() + days * 86_400_000;
    await run(app);
  } finally {
    Date.now = realNow;
  }
  expect(await kept.rows()).toEqual({ ...NOTHING, jobs: 1, results: 10 });
  expect((await kept.job(young)).status).toBe(200);
});

describe('expires_at', () => {
  it('is null while the job works, then the hours after its end', async () => {
    const id = await kept.submit(5);
    expect((await kept.job(id)).body.expires_at).toBeNull();
    await kept.act(id, 'kill');
    const { body } = await kept.job(id);
    expect(Date.parse(body.expires_at) - Date.parse(body.finished_at)).toBe(HOURS * 3_600_000);
    expect((await app.get('/api/v2/jobs.json', user)).body.jobs).toEqual([body]);
  });

  it('is by the configuration of who answers, also for old jobs, and part of the ETag', async () => {
    const PUBLIC_URL = 'https://tally.example.com';
    const usual = await kept.another({ env: { PUBLIC_URL } });
    const brief = await kept.another({ env: { PUBLIC_URL, RETENTION_HOURS: '2' } });
    const id = await bigJob({ app, user }, 10);
    await kept.endedAgo(id, '1 hour 59 minutes');
    const [long, short] = [await kept.job(id, usual), await kept.job(id, brief)];
    expect(Date.parse(short.body.expires_at) - Date.parse(short.body.finished_at)).toBe(2 * 3_600_000);
    expect({ ...short.body, expires_at: long.body.expires_at }).toEqual(long.body);
    expect(short.headers.get('etag')).not.toBe(long.headers.get('etag'));
    await run(brief);
    expect((await kept.job(id)).status).toBe(200);
    await kept.endedAgo(id, '2 hours');
    await run(brief);
    expect((await kept.job(id)).status).toBe(404);
  });
});
