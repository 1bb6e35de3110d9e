import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { serve, type Served } from '../http/http-support.js';
import { Way } from '../support/way.js';
import { createTestDatabase } from '../support/database.js';
import { TestApp } from '../support/app.js';
import { waitFor } from '../support/wait-for.js';

let served: Served;
beforeAll(async () => {
  served = await serve({ role: 'all' });
});
afterAll(() => served.stop());

const scrape = async (app = served.app) => (await app.get('/metrics', null)).text;

/** The value of one series; 0 where it is not there yet. Labels as they are printed, in any order. */
function valueOf(text: string, name: string, labels: Record<string, string> = {}): number {
  const line = text.split('\n').find((one) => {
    const hasName = one.startsWith(`${name} `) || one.startsWith(`${name}{`);
    return hasName && Object.entries(labels).every(([label, value]) => one.includes(`${label}="${value}"`));
  });
  return line ? Number(line.split(' ').at(-1)) : 0;
}

const namesIn = (text: string) => [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);

const finished = async (id: string) =>
  waitFor(async () => (await served.app.get(`/api/v2/jobs/${id}`, served.user)).body.status !== 'working', {
    timeoutMs: 20_000,
  });

describe('GET /metrics', () => {
  test('counts tasks, failures, records, claims and durations by type', async () => {
    const before = await scrape();
    const tasks = [{ times: 0 }, { times: 9 }, { times: 9 }];
    const { body } = await served.app.post('/api/v2/jobs', served.user, {
      type: 'demo.fail',
      max_attempts: 1,
      tasks,
    });
    await finished(body.id);
    const after = await scrape();
    const grown = (name: string, labels = {}) => valueOf(after, name, labels) - valueOf(before, name, labels);
    const type = { type: 'demo.fail' };
    expect(grown('tally_tasks_processed_total', type)).toBe(3);
    expect(grown('tally_tasks_failed_total', type)).toBe(2);
    expect(grown('tally_task_duration_seconds_count', type)).toBe(3);
    expect(grown('tally_task_duration_seconds_bucket', { ...type, le: '+Inf' })).toBe(3);
    expect(grown('tally_chunks_claimed_total', type)).toBeGreaterThan(0);
    expect(grown('tally_record_duration_seconds_count')).toBeGreaterThan(0);
  });

  test('measures requests by the pattern of their route, and nothing of what a client may think of', async () => {
    await served.app.get(`/api/v2/jobs/${'0'.repeat(32)}`, served.user);
    await served.app.get('/no/such/path', null);
    const text = await waitFor(async () => {
      const now = await scrape();
      return now.includes('route="unknown"') ? now : null;
    });
    const labels = { method: 'GET', route: '/api/v2/jobs/:id', status: '4xx', held: 'false' };
    expect(valueOf(text, 'tally_http_request_duration_seconds_count', labels)).toBeGreaterThan(0);
    expect(text).not.toContain('such/path');
    expect(text).not.toMatch(/[0-9a-f]{32}|agent@example/);
    expect(valueOf(text, 'tally_http_requests_open', { route: '/metrics' })).toBe(1);
  });

  test('says how the queue stands, a few seconds old at most, with types of nobody as one label', async () => {
    const own = await serve();
    await own.app.post('/api/v2/jobs', own.user, { type: 'demo.sleep', tasks: [{}, {}, {}] });
    await own.app.prisma.$executeRaw`
      INSERT INTO job_statuses (id, account_id, created_by, type, total)
      VALUES ('00000000-0000-7000-8000-000000000002', ${own.user.accountId}, ${own.user.userId}, 'gone.type', 1)`;
    await own.app.prisma
      .$executeRaw`UPDATE job_statuses SET created_at = clock_timestamp() - interval '100 seconds' WHERE type = 'demo.sleep'`;
    const text = await scrape(own.app);
    await own.stop();
    expect(valueOf(text, 'tally_queue_tasks', { type: 'demo.sleep', state: 'ready' })).toBe(3);
    expect(valueOf(text, 'tally_jobs_working', { type: 'demo.sleep' })).toBe(1);
    expect(valueOf(text, 'tally_jobs_working', { type: 'unknown' })).toBe(1);
    const age = valueOf(text, 'tally_oldest_unbegun_job_age_seconds', { type: 'demo.sleep' });
    expect(age).toBeGreaterThanOrEqual(100);
    expect(age).toBeLessThan(200);
    expect(valueOf(text, 'tally_workers_alive')).toBe(0);
    expect(valueOf(text, 'tally_database_up')).toBe(1);
    expect(valueOf(text, 'tally_pool_connections_max', { pool: 'lanes' })).toBe(4);
  });

  test('tells the rest while the database is away', async () => {
    const database = await createTestDatabase();
    const way = new Way(new URL(database.url));
    await way.open();
    const app = await TestApp.start(way.url, { role: 'api' });
    try {
      await way.cut();
      const { status, text } = await app.get('/metrics', null);
      expect([status, valueOf(text, 'tally_database_up')]).toEqual([200, 0]);
      expect(text).not.toMatch(/^tally_workers_alive /m);
      expect(text).toContain('process_cpu_seconds_total');
    } finally {
      await app.stop();
      await database.drop();
    }
  });

  test('with METRICS_TOKEN is for those who have it', async () => {
    const own = await serve({ env: { METRICS_TOKEN: 'scrape-me-if-you-can' } });
    const as = (token: string) => own.app.get('/metrics', null, { authorization: `Bearer ${token}` });
    const none = await own.app.get('/metrics', null);
    const wrong = await as('scrape-me-if-you-cannot');
    const right = await as('scrape-me-if-you-can');
    await own.stop();
    expect([none, wrong, right].map(({ status }) => status)).toEqual([401, 401, 200]);
    expect(right.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});

describe('what is written of the metrics', () => {
  const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

  test('names each metric of Tally that there is, and no other', async () => {
    const documented = [...(await read('docs/metrics.md')).matchAll(/^\| `(tally_\w+)`/gm)].map(
      ([, name]) => name!,
    );
    const exposed = namesIn(await scrape()).filter((name) => name.startsWith('tally_'));
    expect(documented.toSorted()).toEqual(exposed.toSorted());
  });

  test('alerts on metrics that there are', async () => {
    const { groups } = parse(await read('examples/prometheus/alerts.yml'));
    const rules = groups.flatMap((group: { rules: unknown[] }) => group.rules);
    expect(rules.length).toBeGreaterThan(5);
    const exposed = new Set(namesIn(await scrape()));
    for (const { expr, alert } of rules)
      for (const [name] of expr.matchAll(/tally_\w+/g))
        expect([alert, exposed.has(name.replace(/_(bucket|sum|count)$/, ''))]).toEqual([alert, true]);
  });
});
