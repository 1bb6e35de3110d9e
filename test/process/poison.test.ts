import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { chunkSize } from '../../src/jobs/job.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Service } from '../support/service.js';
import { Supervisor } from '../support/supervisor.js';
import { waitFor } from '../support/wait-for.js';

let database: TestDatabase;
let api: Service;
let workers: Supervisor | undefined;
let sql: pg.Pool;

beforeEach(async () => {
  database = await createTestDatabase();
  sql = new pg.Pool({ connectionString: database.url });
  sql.on('error', () => undefined);
  api = await Service.start({ DATABASE_URL: database.url, ROLE: 'api' });
});
afterEach(async () => {
  await workers?.stop();
  await api.stop('SIGKILL');
  await sql.end();
  await database.drop();
});

async function submit(type: string, tasks: readonly unknown[]): Promise<string> {
  return (await api.json('POST', '/api/v2/jobs', { type, tasks, max_attempts: 1 })).url as string;
}

const ended = (url: string, timeoutMs: number) =>
  waitFor(
    async () => {
      const status = await api.json('GET', new URL(url).pathname);
      return status.status !== 'working' && status;
    },
    { timeoutMs, everyMs: 100, what: 'the job to end' },
  );

const failures = async () =>
  (await sql.query('SELECT index, error, result FROM job_results WHERE NOT success')).rows as object[];

const innocent = { times: 0 };

describe('a task that kills its process each time it runs', () => {
  it('ends as a failed result after a bounded number of crashes, and all others succeed', async () => {
    const total = Number(process.env['POISON_TASKS'] ?? 1_000);
    const at = Math.floor(total / 2) + 3;
    const url = await submit(
      'demo.fail',
      Array.from({ length: total }, (_, n) => (n === at ? { crash: true } : innocent)),
    );
    workers = new Supervisor(2, { DATABASE_URL: database.url });
    expect(await ended(url, 110_000)).toMatchObject({ status: 'completed', progress: total });
    const sentence = 'Its worker was lost 3 times while it ran this task and nothing else';
    expect(await failures()).toEqual([
      { index: at, error: 'WorkerCrashed', result: { errors: sentence, success: false, status: 'Failed' } },
    ]);
    expect(workers.crashes).toBeLessThanOrEqual(3 + Math.log2(chunkSize(total)));
    expect(workers.crashes).toBeGreaterThanOrEqual(3);
  }, 120_000);
});

describe('workers that are killed at random', () => {
  it('fail no task, however often they are killed', async () => {
    const kills = Number(process.env['POISON_KILLS'] ?? 6);
    const url = await submit(
      'demo.sleep',
      Array.from({ length: kills * 400 }, () => ({ ms: 20 })),
    );
    workers = new Supervisor(2, { DATABASE_URL: database.url, WORKER_CONCURRENCY: '10' });
    for (let kill = 0; kill < kills; kill += 1) {
      const running = await waitFor(() => workers!.running.length > 0 && workers!.running, {
        timeoutMs: 90_000,
      });
      // At any moment of what it does: this is the time of the kill, and nothing is waited for.
      await sleep(20 + Math.random() * 500);
      await running[Math.floor(Math.random() * running.length)]!.stop('SIGKILL');
    }
    expect(await ended(url, 60_000 + kills * 3_000)).toMatchObject({ status: 'completed' });
    expect(await failures()).toEqual([]);
    expect(workers.crashes).toBe(kills);
  }, 1_800_000);
});
