import { afterEach, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { query } from '../support/scratch.js';
import { Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

const services: Service[] = [];
const databases: TestDatabase[] = [];

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
  await Promise.all(databases.splice(0).map((database) => database.drop()));
});

async function start(env: Record<string, string>): Promise<Service> {
  const service = await Service.start(env);
  services.push(service);
  return service;
}

async function testDatabase(): Promise<string> {
  const database = await createTestDatabase();
  databases.push(database);
  return database.url;
}

const sleeps = (total: number, ms: number) => Array.from({ length: total }, () => ({ ms }));

/** An API and three workers on one database, and a long job that all of them run. */
async function threeWorkers(options: () => object = () => ({})) {
  const url = await testDatabase();
  const [api, ...workers] = await Promise.all([
    start({ DATABASE_URL: url, ROLE: 'api' }),
    ...[1, 2, 3].map(() => start({ DATABASE_URL: url, ROLE: 'worker', WORKER_CONCURRENCY: '20' })),
  ]);
  const job = await api.json('POST', '/api/v2/jobs', {
    type: 'demo.sleep',
    tasks: sleeps(100_000, 400),
    ...options(),
  });
  const holders = async () => {
    const rows = await query(url, "SELECT DISTINCT worker FROM task_chunks WHERE state = 'leased'");
    return rows.length;
  };
  await waitFor(async () => (await holders()) === 3, {
    timeoutMs: 15_000,
    what: 'all three workers to hold a chunk',
  });
  return { url, api, workers, id: job.id as string };
}

const results = async (url: string, id: string) => {
  const [row] = await query(url, `SELECT count(*)::int AS n FROM job_results WHERE job_id = '${id}'::uuid`);
  return row!['n'] as number;
};

describe('three workers on a job of 100,000 tasks', () => {
  it('stop when it is killed: the answer is quick, no result follows, and other jobs go on', async () => {
    const { url, api, id } = await threeWorkers();
    await waitFor(async () => (await results(url, id)) > 0, { timeoutMs: 10_000 });
    const other = await api.json('POST', '/api/v2/jobs', { type: 'demo.sleep', tasks: sleeps(10, 10) });
    const killed = await api.json('POST', `/api/v2/jobs/${id}/kill.json`);
    expect(killed).toMatchObject({ status: 'killed', total: 100_000 });
    expect(killed.results).toHaveLength(Math.min(1_000, killed.progress));
    await waitFor(
      async () => {
        const rows = await query(
          url,
          `SELECT 1 FROM task_chunks WHERE state <> 'parked' AND type = 'demo.sleep'
                                        AND job_id = '${id}'::uuid LIMIT 1`,
        );
        return rows.length === 0;
      },
      { timeoutMs: 5_000, what: 'the chunks of the killed job to leave the ready set' },
    );
    await waitFor(async () => (await api.json('GET', other.url)).status === 'completed', {
      timeoutMs: 10_000,
    });
    expect(await results(url, id)).toBe(killed.progress);
    expect(await api.json('GET', `/api/v2/job_statuses/${id}`)).toEqual(killed);
  }, 90_000);

  it('stop when its deadline passes', async () => {
    let deadline = '';
    const { url, api, id } = await threeWorkers(() => {
      deadline = new Date(Date.now() + 8_000).toISOString();
      return { deadline };
    });
    const failed = await waitFor(
      async () => {
        const status = await api.json('GET', `/api/v2/job_statuses/${id}`);
        return status.status !== 'working' && status;
      },
      { timeoutMs: 20_000 },
    );
    expect(failed).toMatchObject({ status: 'failed', total: 100_000 });
    expect(failed.message).toMatch(/: the deadline has passed$/);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(deadline));
    const [row] = await query(
      url,
      `SELECT progress, (SELECT count(*)::int FROM job_results) AS results FROM job_statuses`,
    );
    expect(row!['results']).toBe(row!['progress']);
  }, 90_000);
});

describe('a worker that is told to stop', () => {
  it('with 50 tasks of 3 s running and 5,000 waiting hands over, ends in time, and nothing runs twice', async () => {
    const url = await testDatabase();
    const api = await start({ DATABASE_URL: url, ROLE: 'api' });
    const first = await start({ DATABASE_URL: url, ROLE: 'worker', WORKER_CONCURRENCY: '50' });
    const list = [...sleeps(50, 3_000), ...sleeps(5_000, 20)];
    const job = await api.json('POST', '/api/v2/jobs', { type: 'demo.sleep', tasks: list });
    await waitFor(
      async () => (await query(url, "SELECT 1 FROM task_chunks WHERE state = 'leased'")).length > 0,
    );
    const second = await start({ DATABASE_URL: url, ROLE: 'worker', WORKER_CONCURRENCY: '50' });
    const stopping = first.stop();
    await waitFor(
      async () => {
        const rows = await query(
          url,
          `SELECT 1 FROM task_chunks WHERE state = 'leased' AND worker LIKE '%:${second.child.pid}:%'
           UNION ALL SELECT 1 FROM job_results LIMIT 1`,
        );
        return rows.length > 0;
      },
      { timeoutMs: 2_000, what: 'the other worker to begin' },
    );
    expect(await stopping).toBe(0);
    const end = await waitFor(
      async () => {
        const status = await api.json('GET', job.url);
        return status.status !== 'working' && status;
      },
      { timeoutMs: 40_000 },
    );
    expect(end).toMatchObject({ status: 'completed', progress: 5_050 });
    const [row] = await query(
      url,
      'SELECT count(*)::int AS n, max(attempts)::int AS attempts FROM job_results',
    );
    expect(row).toEqual({ n: 5_050, attempts: 1 });
  }, 90_000);
});
