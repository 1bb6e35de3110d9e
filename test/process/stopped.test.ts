import { afterEach, beforeEach, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

let database: TestDatabase;
let sql: pg.Pool;
const services: Service[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  sql = new pg.Pool({ connectionString: database.url });
  sql.on('error', () => undefined);
});
afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
  await sql.end();
  await database.drop();
});

async function start(ROLE: string): Promise<Service> {
  const service = await Service.start({ DATABASE_URL: database.url, ROLE });
  services.push(service);
  return service;
}

const chunk = async (where: string) =>
  (await sql.query(`SELECT worker FROM task_chunks WHERE ${where}`)).rows[0];

it('a worker that was stopped for longer than its lease changes nothing when it goes on', async () => {
  const [api, stopped] = await Promise.all([start('api'), start('worker')]);
  const job = await api.json('POST', '/api/v2/jobs', { type: 'demo.sleep', tasks: [{ ms: 1_000 }] });
  const { worker } = await waitFor(() => chunk("state = 'leased'"));
  stopped.child.kill('SIGSTOP');
  const other = await start('worker');
  await waitFor(() => chunk(`state = 'leased' AND alone AND worker <> '${worker as string}'`), {
    timeoutMs: 10_000,
  });
  const status = (url: string) => api.json('GET', new URL(url).pathname);
  const ended = (url: string) =>
    waitFor(
      async () => {
        const now = await status(url);
        return now.status !== 'working' && now;
      },
      { timeoutMs: 10_000 },
    );
  const end = await ended(job.url);
  expect(end).toMatchObject({ status: 'completed', progress: 1, results: [{ success: true }] });
  await other.stop('SIGKILL');
  stopped.child.kill('SIGCONT');
  // That it does this one, which nobody else can, shows that it has gone on, and how it has ended the first.
  const next = await api.json('POST', '/api/v2/jobs', { type: 'demo.sleep', tasks: [{ ms: 500 }] });
  expect(await ended(next.url)).toMatchObject({ status: 'completed' });
  expect(await status(job.url)).toEqual(end);
  expect((await sql.query('SELECT 1 FROM job_results')).rowCount).toBe(2);
}, 60_000);
