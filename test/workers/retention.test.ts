import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { parseJobId } from '../../src/jobs/job.js';
import { JobControlStore } from '../../src/jobs/job-control.store.js';
import { IdempotencyStore } from '../../src/jobs/idempotency.store.js';
import { CHUNKS_AT_ONCE, RESULTS_AT_ONCE, RetentionStore } from '../../src/jobs/retention.store.js';
import { failed, succeeded } from '../../src/jobs/task-handler.js';
import { Retention } from '../../src/workers/retention.js';
import { ANYTHING, authorizationOf } from '../http/http-support.js';
import { bigJob, jobWith } from '../jobs/results-support.js';
import { TestApp, type TestAppOptions, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { single, tasks } from '../support/handlers.js';
import { waitFor } from '../support/wait-for.js';

const HOURS = 168;
const LEASE_MS = 60_000;

let database: TestDatabase;
let apps: TestApp[] = [];
let app: TestApp;
let user: TestUser;

/** An API process, in which nothing is swept unless the test says so. */
async function start(options: TestAppOptions = {}): Promise<TestApp> {
  const started = await TestApp.start(database.url, {
    role: 'api',
    handlers: [ANYTHING],
    ...options,
    env: { DRAIN_SECONDS: '0', ...options.env },
  });
  apps.push(started);
  return started;
}

beforeEach(async () => {
  database = await createTestDatabase();
  app = await start();
  user = await app.addUser();
});
afterEach(async () => {
  await Promise.all(apps.map((started) => started.stop()));
  apps = [];
  await database.drop();
});

const uuid = (id: string): string => parseJobId(id)!;
const storeOf = (of = app) => of.app.get(RetentionStore);
const run = (of = app) => of.app.get(Retention).run();
const job = (id: string, of = app) => of.get(`/api/v2/jobs/${id}.json`, user);
const act = (id: string, what: string, of = app) =>
  of.post(`/api/v2/jobs/${id}/${what}.json`, user, undefined);

async function submit(total: number, headers: Record<string, string> = {}): Promise<string> {
  const body = { type: 'test.anything', tasks: tasks(total) };
  const answer = await app.post('/api/v2/jobs.json', user, body, headers);
  expect(answer.status).toBe(202);
  return answer.body.id as string;
}

/** Moves the end back. An ended job never changes, so this passes by the trigger that sees to it. */
async function endedAgo(id: string, ago: string): Promise<void> {
  const [, moved] = await app.prisma.$transaction([
    app.prisma.$executeRaw`SET LOCAL session_replication_role = replica`,
    app.prisma.$executeRaw`UPDATE job_statuses SET finished_at = clock_timestamp() - ${ago}::text::interval
                            WHERE id = ${uuid(id)}::uuid`,
  ]);
  expect(moved).toBe(1);
}

/** Rows there are of what a job may leave. */
async function rows() {
  const [jobs, results, chunks, removed, keys] = await Promise.all([
    app.prisma.jobStatus.count(),
    app.prisma.jobResult.count(),
    app.prisma.taskChunk.count(),
    app.prisma.deletedJob.count(),
    app.prisma.idempotencyKey.count(),
  ]);
  return { jobs, results, chunks, removed, keys };
}
const NOTHING = { jobs: 0, results: 0, chunks: 0, removed: 0, keys: 0 };

describe('an ended job', () => {
  it('goes with its results when its time is over, and not a minute earlier', async () => {
    const id = await bigJob({ app, user }, 50, { failEvery: 7 });
    await endedAgo(id, '167 hours 59 minutes');
    await run();
    expect((await job(id)).status).toBe(200);
    expect(await rows()).toMatchObject({ jobs: 1, results: 50 });
    await endedAgo(id, '168 hours');
    await run();
    expect((await job(id)).status).toBe(404);
    expect(await rows()).toEqual(NOTHING);
  });

  it('goes, and everything else stays', async () => {
    const old = [];
    for (let n = 0; n < 5; n += 1) {
      old.push(await bigJob({ app, user }, 300));
      await bigJob({ app, user }, 200);
    }
    for (const id of old) await endedAgo(id, '9 days');
    await submit(20);
    await run();
    expect(await rows()).toEqual({ ...NOTHING, jobs: 6, results: 1_000, chunks: 2 });
    const [wrong] = await app.prisma.$queryRaw<{ n: number }[]>`
      SELECT count(*)::int AS n FROM job_statuses j
       WHERE progress <> (SELECT count(*) FROM job_results WHERE job_id = j.id)`;
    expect(wrong!.n).toBe(0);
  });

  it('goes as a worker runs, without anybody asking', async () => {
    const handler = single((task) => succeeded(task.n));
    const worker = await start({ role: 'all', handlers: [handler] });
    const body = { type: 'test.task', tasks: tasks(30) };
    const { body: made } = await worker.post('/api/v2/jobs.json', user, body);
    await waitFor(async () => (await job(made.id)).body.status === 'completed');
    await endedAgo(made.id, '168 hours');
    await waitFor(async () => Object.values(await rows()).every((n) => n === 0));
    expect((await worker.get(made.url, user)).status).toBe(404);
  });

  it('that is being exported breaks the export off, so that nobody takes it for whole', async () => {
    const id = await bigJob({ app, user }, 30_000, { padding: 1_000 });
    const request = httpGet(`${app.origin}/api/v2/jobs/${id}/results.ndjson`, {
      headers: { authorization: authorizationOf(user) },
    });
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    await endedAgo(id, '168 hours');
    const store = storeOf();
    await store.take('test', LEASE_MS);
    expect(await store.expire('test', LEASE_MS, HOURS)).toBe(1);
    const closed = new Promise((resolve) => answer.on('close', resolve));
    answer.resume();
    await closed;
    expect(answer.complete).toBe(false);
  });
});

it('a working job never goes, however old it is', async () => {
  const ids = [await submit(5), await submit(5)];
  await act(ids[1]!, 'pause');
  await app.prisma.$executeRaw`
    UPDATE job_statuses SET created_at = created_at - interval '9 years', started_at = created_at - interval '9 years'`;
  await run();
  expect(await rows()).toMatchObject({ jobs: 2, chunks: 2 });
});

describe('a killed job', () => {
  it('keeps its chunks until its time is over, and can be retried until then', async () => {
    const id = await submit(1_000);
    await act(id, 'kill');
    await endedAgo(id, '167 hours 59 minutes');
    await run();
    expect(await rows()).toMatchObject({ jobs: 1, chunks: 100 });
    expect((await act(id, 'retry')).body).toMatchObject({ retry_of: id, total: 1_000 });
  });

  it('then goes with its chunks, and a retry is a 404', async () => {
    const id = await submit(1_000);
    await act(id, 'kill');
    await endedAgo(id, '168 hours');
    await run();
    expect(await rows()).toEqual(NOTHING);
    for (const what of ['retry', 'kill', 'pause', 'resume']) expect((await act(id, what)).status).toBe(404);
  });

  it('that goes between the look of a retry and its statement is a 404 as well', async () => {
    const id = await submit(10);
    await act(id, 'kill');
    const control = app.app.get(JobControlStore);
    const retry = JobControlStore.prototype.retry.bind(control);
    control.retry = async (...parameters) => {
      await endedAgo(id, '168 hours');
      await run();
      return retry(...parameters);
    };
    expect((await act(id, 'retry')).status).toBe(404);
    expect(await rows()).toEqual(NOTHING);
  });
});

it('the retry of a job outlives it, and says of which it was', async () => {
  let isBroken = true;
  const handler = single((task) => (isBroken ? failed('Broken', 'It is broken') : succeeded(task.n)));
  const worker = await start({ role: 'all', handlers: [handler] });
  const body = { type: 'test.task', tasks: tasks(10) };
  const { body: first } = await worker.post('/api/v2/jobs.json', user, body);
  await waitFor(async () => (await job(first.id)).body.status === 'completed');
  await worker.worker.stop();
  const { body: second } = await act(first.id, 'retry', worker);
  await endedAgo(first.id, '168 hours');
  await run();
  expect(await rows()).toMatchObject({ jobs: 1, results: 0 });
  isBroken = false;
  await worker.worker.start();
  await waitFor(async () => (await job(second.id)).body.status === 'completed');
  expect((await job(second.id)).body).toMatchObject({ retry_of: first.id, progress: 10 });
  expect((await act(first.id, 'retry')).status).toBe(404);
});

describe('an idempotency key', () => {
  const withKey = { 'Idempotency-Key': 'a' };

  it('is gone when its job goes', async () => {
    const id = await submit(5, withKey);
    await act(id, 'kill');
    // What a week does to both.
    await endedAgo(id, '168 hours');
    await app.prisma.$executeRaw`UPDATE idempotency_keys SET expires_at = expires_at - interval '168 hours'`;
    await run();
    await app.app.get(IdempotencyStore).removeExpired();
    expect(await rows()).toEqual(NOTHING);
  });

  it('holds its day where jobs are kept for less, so that nothing is done twice', async () => {
    const brief = await start({ env: { RETENTION_HOURS: '1' } });
    const id = await submit(5, withKey);
    await act(id, 'kill');
    await endedAgo(id, '1 hour');
    await run(brief);
    await app.app.get(IdempotencyStore).removeExpired();
    const again = { type: 'test.anything', tasks: tasks(5) };
    expect((await app.post('/api/v2/jobs.json', user, again, withKey)).status).toBe(404);
    expect(await rows()).toEqual({ ...NOTHING, keys: 1 });
    await app.prisma.$executeRaw`UPDATE idempotency_keys SET expires_at = clock_timestamp()`;
    await app.app.get(IdempotencyStore).removeExpired();
    expect(await rows()).toEqual(NOTHING);
  });
});

describe('what a removed job leaves', () => {
  it('goes in small steps, while nobody sees anything of it', async () => {
    const id = await bigJob({ app, user }, 3 * RESULTS_AT_ONCE + 1);
    await endedAgo(id, '168 hours');
    const store = storeOf();
    await store.take('test', LEASE_MS);
    expect(await store.expire('test', LEASE_MS, HOURS)).toBe(1);
    for (const path of ['.json', '/results.json', '/results.ndjson', '/results.csv', '/events'])
      expect((await app.get(`/api/v2/jobs/${id}${path}`, user)).status).toBe(404);
    expect((await app.get(`/api/v2/job_statuses/${id}.json`, user)).status).toBe(404);
    expect((await app.get('/api/v2/jobs.json', user)).body.jobs).toEqual([]);
    for (const left of [2 * RESULTS_AT_ONCE + 1, RESULTS_AT_ONCE + 1, 1, 0]) {
      expect(await store.purge('test', LEASE_MS)).toBe(true);
      expect(await rows()).toMatchObject({ results: left, removed: 1 });
    }
    expect(await store.purge('test', LEASE_MS)).toBe(true);
    expect(await rows()).toEqual(NOTHING);
    expect(await store.purge('test', LEASE_MS)).toBe(false);
  });

  it('goes chunk by chunk, a few at a time', async () => {
    const id = await submit(1_000);
    await act(id, 'kill');
    expect((await app.call('DELETE', `/api/v2/jobs/${id}`, user)).status).toBe(204);
    const store = storeOf();
    await store.take('test', LEASE_MS);
    await store.purge('test', LEASE_MS);
    expect(await rows()).toMatchObject({ jobs: 0, chunks: 100 - CHUNKS_AT_ONCE });
    await store.leave('test');
    await run();
    expect(await rows()).toEqual(NOTHING);
  });

  it('goes together where it is little', async () => {
    for (let n = 0; n < 20; n += 1) {
      const id = await bigJob({ app, user }, 2);
      await endedAgo(id, '168 hours');
    }
    const store = storeOf();
    await store.take('test', LEASE_MS);
    await store.expire('test', LEASE_MS, HOURS);
    await store.purge('test', LEASE_MS);
    expect(await rows()).toMatchObject({ results: 0, removed: 20 });
    await store.purge('test', LEASE_MS);
    expect(await rows()).toEqual(NOTHING);
  });

  it('has gaps where a job was killed, and goes all the same', async () => {
    const sparse = [3, 700, 4_999].map((index) => ({ index, result: '1' }));
    const id = await jobWith({ app, user }, sparse, { total: 5_000 });
    await act(id, 'kill');
    await endedAgo(id, '168 hours');
    await run();
    expect(await rows()).toEqual(NOTHING);
  });

  it('is left where it is by a stop in the middle, and goes later', async () => {
    const id = await bigJob({ app, user }, 20 * RESULTS_AT_ONCE);
    await endedAgo(id, '168 hours');
    const running = run();
    await waitFor(async () => {
      const [removed] = await app.prisma.deletedJob.findMany();
      return removed && removed.removedBelow > 0;
    });
    await app.app.get(Retention).stop();
    await running;
    const { results, removed } = await rows();
    expect(removed).toBe(1);
    expect(results).toBeGreaterThan(0);
    expect(await app.prisma.duty.count()).toBe(0);
    await run();
    expect(await rows()).toEqual(NOTHING);
  });
});

describe('of two processes', () => {
  it('one removes and the other stays away, until the first leaves', async () => {
    const other = await start();
    await endedAgo(await bigJob({ app, user }, 100), '168 hours');
    expect(await storeOf().take('first', LEASE_MS)).toBe(true);
    expect(await storeOf(other).take('second', LEASE_MS)).toBe(false);
    await run(other);
    expect(await rows()).toMatchObject({ jobs: 1, results: 100 });
    await storeOf().leave('first');
    await run(other);
    expect(await rows()).toEqual(NOTHING);
  });

  it('the second goes on where a dead one was, which then removes nothing more', async () => {
    const store = storeOf();
    await endedAgo(await bigJob({ app, user }, 3 * RESULTS_AT_ONCE), '168 hours');
    await endedAgo(await bigJob({ app, user }, 10), '167 hours');
    await store.take('dead', LEASE_MS);
    await store.expire('dead', LEASE_MS, HOURS);
    await store.purge('dead', LEASE_MS);
    await app.prisma.$executeRaw`UPDATE duties SET lease_expires_at = clock_timestamp()`;
    expect(await store.purge('dead', LEASE_MS)).toBe(false);
    expect(await store.take('second', LEASE_MS)).toBe(true);
    expect(await store.purge('dead', LEASE_MS)).toBe(false);
    expect(await store.expire('dead', LEASE_MS, 1)).toBe(0);
    await store.leave('dead');
    expect(await rows()).toMatchObject({ jobs: 1, results: 2 * RESULTS_AT_ONCE + 10 });
    while (await store.purge('second', LEASE_MS));
    expect(await rows()).toEqual({ ...NOTHING, jobs: 1, results: 10 });
  });

  it('none loses or doubles anything when both begin at once, and people delete meanwhile', async () => {
    const other = await start();
    const [old, young, deleted]: string[][] = [[], [], []];
    for (let n = 0; n < 15; n += 1) {
      old!.push(await bigJob({ app, user }, 500));
      young!.push(await bigJob({ app, user }, 100));
      deleted!.push(await bigJob({ app, user }, 100));
    }
    for (const id of old!) await endedAgo(id, '168 hours');
    const deletions = [...deleted!, ...old!.slice(0, 5)].map((id) =>
      app.call('DELETE', `/api/v2/jobs/${id}`, user),
    );
    await Promise.all([run(), run(other), ...deletions]);
    await run();
    expect(await rows()).toEqual({ ...NOTHING, jobs: 15, results: 1_500 });
    for (const id of young!) expect((await job(id)).body.progress).toBe(100);
  });
});

it.each([365, -365])('a process clock that is %i days off is no matter', async (days) => {
  const young = await bigJob({ app, user }, 10);
  await endedAgo(await bigJob({ app, user }, 10), '168 hours');
  const realNow = Date.now;
  try {
    Date.now = () => realNow() + days * 86_400_000;
    await run();
  } finally {
    Date.now = realNow;
  }
  expect(await rows()).toEqual({ ...NOTHING, jobs: 1, results: 10 });
  expect((await job(young)).status).toBe(200);
});

describe('expires_at', () => {
  it('is null while the job works, then the hours after its end', async () => {
    const id = await submit(5);
    expect((await job(id)).body.expires_at).toBeNull();
    await act(id, 'kill');
    const { body } = await job(id);
    expect(Date.parse(body.expires_at) - Date.parse(body.finished_at)).toBe(HOURS * 3_600_000);
    expect((await app.get('/api/v2/jobs.json', user)).body.jobs).toEqual([body]);
  });

  it('is by the configuration of who answers, also for old jobs, and part of the ETag', async () => {
    const PUBLIC_URL = 'https://tally.example.com';
    const usual = await start({ env: { PUBLIC_URL } });
    const brief = await start({ env: { PUBLIC_URL, RETENTION_HOURS: '2' } });
    const id = await bigJob({ app, user }, 10);
    await endedAgo(id, '1 hour 59 minutes');
    const [long, short] = [await job(id, usual), await job(id, brief)];
    expect(Date.parse(short.body.expires_at) - Date.parse(short.body.finished_at)).toBe(2 * 3_600_000);
    expect({ ...short.body, expires_at: long.body.expires_at }).toEqual(long.body);
    expect(short.headers.get('etag')).not.toBe(long.headers.get('etag'));
    await run(brief);
    expect((await job(id)).status).toBe(200);
    await endedAgo(id, '2 hours');
    await run(brief);
    expect((await job(id)).status).toBe(404);
  });
});
