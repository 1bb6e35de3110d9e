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
  const api = await start('api');
  const stopped = await start('worker');
  const job = await api.json('POST', '/api/v2/jobs', { type: 'demo.sleep', tasks: [{ ms: 1_000 }] });
  const { worker } = await waitFor(() => chunk("state = 'leased'"));
  stopped.child.kill('SIGSTOP');
  await start('worker');
  await waitFor(() => chunk(`state = 'leased' AND alone AND worker <> '${worker as string}'`), {
    timeoutMs: 10_000,
  });
  const status = () => api.json('GET', new URL(job.url).pathname);
  const end = await waitFor(
    async () => {
      const now = await status();
      return now.status !== 'working' && now;
    },
    { timeoutMs: 10_000 },
  );
  expect(end).toMatchObject({ status: 'completed', progress: 1, results: [{ success: true }] });
  stopped.child.kill('SIGCONT');
  await waitFor(() => stopped.output.includes('the lease is lost'), { timeoutMs: 10_000 });
  expect(await status()).toEqual(end);
  expect((await sql.query('SELECT 1 FROM job_results')).rowCount).toBe(1);
}, 60_000);
