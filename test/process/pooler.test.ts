import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { findPrograms, MISSING } from '../../chaos/failover/programs.js';
import { Pooler } from '../../chaos/failover/pooler.js';
import { LaneService } from '../../src/database/lane.service.js';
import { createEmptyDatabase, type TestDatabase } from '../support/database.js';
import { makeScratch, query, type Scratch } from '../support/scratch.js';
import { Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

const programs = await findPrograms();
const pooled = programs ? describe : describe.skip;

pooled(`behind PgBouncer in transaction mode${programs ? '' : ` (skipped: ${MISSING})`}`, () => {
  let scratch: Scratch;
  let database: TestDatabase;
  let pooler: Pooler;
  let url: string;
  const services: Service[] = [];

  beforeAll(async () => {
    const { pgbouncer, runner } = programs!;
    [scratch, database] = await Promise.all([makeScratch(), createEmptyDatabase()]);
    if (runner.identity) await chown(scratch.folder, runner.identity.uid, runner.identity.gid);
    const { username, password, port, pathname } = new URL(database.url);
    const folder = join(scratch.folder, 'pooler');
    pooler = await Pooler.start({ folder, pgbouncer, runner, user: username, password }, Number(port));
    url = pooler.url(pathname.slice(1));
  });
  afterAll(async () => {
    await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
    await pooler.stop();
    await database.drop();
    await scratch.remove();
  });

  async function start(env: Readonly<Record<string, string>>): Promise<Service> {
    const service = await Service.start({ DATABASE_URL: url, ...env });
    services.push(service);
    return service;
  }

  /** Of this database alone: other tests have theirs on the same server. */
  const listeners = () =>
    query(
      database.url,
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tally-listener'`,
    );

  const ended = (api: Service, id: string) =>
    waitFor(
      async () => {
        const status = await api.json('GET', `/api/v2/job_statuses/${id}`);
        return status.status !== 'working' && status;
      },
      { timeoutMs: 15_000 },
    );

  it('the service migrates, takes a job and runs it to its end, without a notification', async () => {
    const service = await start({});
    expect(service.output).toContain('a pooler stands before the database');
    const tickets = Array.from({ length: 150 }, (_, n) => ({ title: `ticket ${n}` }));
    const created = await service.json('POST', '/api/v2/jobs', { type: 'tickets.create', tasks: tickets });
    const slept = await service.json('POST', '/api/v2/jobs', {
      type: 'demo.sleep',
      tasks: [{ ms: 5 }, { ms: 5 }],
    });
    const end = await ended(service, created.id);
    expect(end).toMatchObject({ status: 'completed', progress: 150 });
    expect(end.results.map(({ title }: { title: string }) => title)).toEqual(
      tickets.map(({ title }) => title),
    );
    expect(await ended(service, slept.id)).toMatchObject({ status: 'completed', progress: 2 });
    expect(await query(database.url, 'SELECT count(*)::int AS n FROM tickets')).toEqual([{ n: 150 }]);
    // Nobody may find a LISTEN on a connection that was somebody else's before.
    const all = new pg.Pool({ connectionString: url, max: 8 });
    const heard = await Promise.all(
      Array.from({ length: 8 }, () => all.query('SELECT pg_listening_channels(), pg_sleep(0.1)')),
    );
    await all.end();
    expect(heard.flatMap(({ rows }) => rows)).toEqual([]);
    expect(await listeners()).toEqual([]);
  });

  it('a worker that hears nothing looks often enough to find work well within a second', async () => {
    await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
    const service = await start({});
    // A worker looks at once when a job has ended, and waits the whole of its pause from then on.
    for (let job = 0; job < 3; job += 1) {
      const { id } = await service.json('POST', '/api/v2/jobs', { type: 'demo.sleep', tasks: [{ ms: 1 }] });
      expect(await ended(service, id)).toMatchObject({ status: 'completed' });
    }
    const [quickest] = await query(
      database.url,
      `SELECT min(1000 * extract(epoch FROM finished_at - created_at))::int AS ms FROM job_statuses WHERE type = 'demo.sleep' AND total = 1`,
    );
    expect(quickest!['ms']).toBeLessThan(700);
  });

  it('a worker hears notifications past it, where DIRECT_DATABASE_URL says the way', async () => {
    const worker = await start({ ROLE: 'worker', DIRECT_DATABASE_URL: database.url });
    expect(worker.output).not.toContain('a pooler stands before the database');
    expect(await listeners()).toHaveLength(1);
  });

  it('a transaction that is cut ends at once, with whatever runs in it', async () => {
    const lanes = new LaneService(url);
    const running = () =>
      query(
        database.url,
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
                             AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()`,
      );
    try {
      const begun = lanes.transaction(60_000, async (lane) => {
        const sleeping = lane.tx.$queryRaw`SELECT pg_sleep(60)::text`;
        sleeping.catch(() => undefined);
        await waitFor(async () => (await running()).length === 1);
        lane.cut();
        await sleeping;
      });
      await expect(begun).rejects.toThrow(/[Cc]onnection/);
      await waitFor(async () => (await running()).length === 0);
    } finally {
      await lanes.onModuleDestroy();
    }
  });
});
