import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { findPostmaster } from '../../src/database/embedded/postmaster.js';
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/database.js';
import { ADMIN, Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

const services: Service[] = [];
const databases: TestDatabase[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
  await Promise.all(databases.splice(0).map((database) => database.drop()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
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

async function query(url: string, sql: string) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as Record<string, number>[];
  } finally {
    await client.end();
  }
}

/** Polls until the job ends, and checks each answer on the way; a service that is down meanwhile is asked again. */
async function watch(
  service: () => Service,
  path: string,
): Promise<{ status: string; progress: number; total: number }> {
  let last = 0;
  return waitFor(
    async () => {
      const status = await service().json('GET', path);
      if (status.results === undefined) return false;
      expect(status.progress).toBeGreaterThanOrEqual(last);
      expect(status.progress).toBeLessThanOrEqual(status.total);
      expect(status.results).toHaveLength(Math.min(1000, status.progress));
      last = status.progress;
      return status.status !== 'working' && status;
    },
    { timeoutMs: 90_000, everyMs: 20, what: `${path} to end` },
  );
}

const pathOf = (url: string): string => new URL(url).pathname;

/** Tasks that are in work when the service is killed: those then run alone, one after the other. */
const SLOW = 80;

describe('kill -9 of the service', () => {
  it('in the middle of jobs, again and again, loses nothing and does nothing twice', async () => {
    const url = await testDatabase();
    const kills = Number(process.env['KILLS'] ?? 3);
    const total = Number(process.env['KILL_TICKETS'] ?? 5_000);
    let service = await start({ DATABASE_URL: url });
    const tickets = Array.from({ length: total }, (_, n) => ({ title: `ticket ${n}` }));
    const created = await service.json('POST', '/api/v2/jobs', { type: 'tickets.create', tasks: tickets });
    const slow = await service.json('POST', '/api/v2/jobs', {
      type: 'demo.sleep',
      tasks: Array.from({ length: SLOW }, () => ({ ms: 100 * kills })),
    });
    const ends = Promise.all([created, slow].map((job) => watch(() => service, pathOf(job.url))));
    const progress = async () => {
      const [row] = await query(url, 'SELECT sum(progress)::int AS progress FROM job_statuses');
      return row!['progress']!;
    };
    for (let kill = 0; kill < kills; kill += 1) {
      const before = await progress();
      await waitFor(async () => (await progress()) > before, { timeoutMs: 30_000, everyMs: 2 });
      await service.stop('SIGKILL');
      service = await start({ DATABASE_URL: url });
    }
    for (const end of await ends) expect(end).toMatchObject({ status: 'completed', progress: end.total });
    const [counts] = await query(
      url,
      `SELECT (SELECT count(*)::int FROM tickets) AS tickets, (SELECT count(DISTINCT title)::int FROM tickets) AS titles,
              (SELECT max(revision) FROM tickets) AS revision, (SELECT count(*)::int FROM job_results) AS results,
              (SELECT count(*)::int FROM task_chunks) AS chunks`,
    );
    expect(counts).toEqual({ tickets: total, titles: total, revision: 1, results: total + SLOW, chunks: 0 });
  }, 180_000);

  it('lets another worker begin its tasks within the lease and a second', async () => {
    const url = await testDatabase();
    const [api, doomed, other] = await Promise.all([
      start({ DATABASE_URL: url, ROLE: 'api' }),
      start({ DATABASE_URL: url, ROLE: 'worker' }),
      start({ DATABASE_URL: url, ROLE: 'worker' }),
    ]);
    // Stands still until the first one is dead, so that it is the first one that begins the task.
    other.child.kill('SIGSTOP');
    const job = await api.json('POST', '/api/v2/jobs', { type: 'demo.sleep', tasks: [{ ms: 1500 }] });
    await waitFor(
      async () => (await query(url, "SELECT 1 FROM task_chunks WHERE state = 'leased'")).length === 1,
    );
    await doomed.stop('SIGKILL');
    const killedAt = Date.now();
    other.child.kill('SIGCONT');
    await waitFor(
      async () =>
        (await query(url, "SELECT 1 FROM task_chunks WHERE state = 'leased' AND suspect")).length === 1,
      { timeoutMs: 10_000 },
    );
    expect(Date.now() - killedAt).toBeLessThan(3_000 + 500);
    expect(await watch(() => api, pathOf(job.url))).toMatchObject({ status: 'completed' });
  }, 60_000);
});

describe('SIGTERM', () => {
  it('drains: waiting tasks are handed back at once, running ones end, and the exit code is 0', async () => {
    const url = await testDatabase();
    const first = await start({ DATABASE_URL: url, WORKER_CONCURRENCY: '5' });
    const job = await first.json('POST', '/api/v2/jobs', {
      type: 'demo.sleep',
      tasks: Array.from({ length: 20 }, () => ({ ms: 1_200 })),
    });
    const second = await start({ DATABASE_URL: url, WORKER_CONCURRENCY: '20', ROLE: 'worker' });
    const api = await start({ DATABASE_URL: url, ROLE: 'api' });
    expect(await first.stop()).toBe(0);
    expect(await watch(() => api, pathOf(job.url))).toMatchObject({ status: 'completed', progress: 20 });
    const [row] = await query(
      url,
      'SELECT max(attempts)::int AS attempts, count(*)::int AS n FROM job_results',
    );
    expect(row).toEqual({ attempts: 1, n: 20 });
    expect(await second.stop()).toBe(0);
  }, 60_000);
});

describe('a start', () => {
  it('with no DATABASE_URL brings its own Postgres, stops it, and finds everything again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tally-start-'));
    folders.push(folder);
    const env = { DATA_DIR: join(folder, 'data'), ADMIN_PASSWORD: '' };
    const first = await start(env);
    const password = await waitFor(() => /password: (\S+)/.exec(first.output)?.[1]);
    const authorization = `Basic ${Buffer.from(`${ADMIN.email}:${password}`).toString('base64')}`;
    const submitted = await first.fetch('/api/v2/jobs.json', {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'demo.sleep', tasks: [{ ms: 1 }] }),
    });
    const { url } = (await submitted.json()) as { url: string };
    expect(await first.stop('SIGINT')).toBe(0);
    expect(first.output).not.toContain('the stop failed');

    const second = await start(env);
    expect(second.output).not.toMatch(/password:/);
    const status = await waitFor(async () => {
      const answer = await second.fetch(pathOf(url), { headers: { authorization } });
      const body = (await answer.json()) as { status: string };
      return body.status === 'completed' && body;
    });
    expect(status).toMatchObject({ total: 1, progress: 1 });

    // Killed hard, with its Postgres left running: the third start takes that over.
    await second.stop('SIGKILL');
    const third = await start(env);
    const answer = await third.fetch(pathOf(url), { headers: { authorization } });
    expect(await answer.json()).toMatchObject({ status: 'completed' });
    expect(await third.stop()).toBe(0);
  }, 90_000);

  it('of two processes at once on an empty database migrates it once and makes one admin', async () => {
    const database = await createEmptyDatabase();
    databases.push(database);
    const [first, second] = await Promise.all([1, 2].map(() => start({ DATABASE_URL: database.url })));
    expect(await first!.json('GET', '/api/v2/job_statuses')).toMatchObject({ job_statuses: [] });
    expect(await second!.json('GET', '/api/v2/job_statuses')).toMatchObject({ job_statuses: [] });
    const [row] = await query(
      database.url,
      'SELECT (SELECT count(*)::int FROM users) AS users, (SELECT count(*) - count(DISTINCT migration_name) FROM _prisma_migrations)::int AS twice',
    );
    expect(row).toEqual({ users: 1, twice: 0 });
  }, 60_000);

  it('that cannot listen says so, and stops the Postgres that it has started', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tally-start-'));
    folders.push(folder);
    const dataDir = join(folder, 'data');
    // An address that no machine has.
    const service = await Service.spawn({ DATA_DIR: dataDir, HOST: '203.0.113.9', DRAIN_SECONDS: '0' });
    services.push(service);
    expect(await service.exit()).toBe(1);
    expect(service.output).toMatch(/^HOST: cannot listen at 203\.0\.113\.9:\d+: .*$/m);
    expect(service.output).toContain('Embedded Postgres started');
    expect(await findPostmaster(join(dataDir, 'postgres'))).toBeFalsy();
  }, 60_000);

  it('with a bad value stops with one sentence that names it', async () => {
    const service = await Service.spawn({
      LEASE_SECONDS: 'soon',
      PORT: '99999',
      DATABASE_URL: 'mysql://u:secret@host/db',
    });
    services.push(service);
    expect(await service.exit()).toBe(1);
    expect(service.output).toContain('LEASE_SECONDS: expected a whole number from 2 to 3600, got: soon');
    expect(service.output).toContain('PORT: expected a whole number from 0 to 65535, got: 99999');
    expect(service.output).toContain('DATABASE_URL: expected a URL that begins with postgres://');
    expect(service.output).not.toContain('secret');
    expect(service.output.trim().split('\n')).toHaveLength(1);
  });
});
