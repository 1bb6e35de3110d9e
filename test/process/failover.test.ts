import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { findPrograms, MISSING } from '../../chaos/failover/programs.js';
import { ReplicatedPostgres } from '../../chaos/failover/replicated-postgres.js';
import { query } from '../support/scratch.js';
import { Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

const programs = await findPrograms();
const withStandby = programs ? describe : describe.skip;
const TASKS = 400;

withStandby(`a promotion of the standby${programs ? '' : ` (skipped: ${MISSING})`}`, () => {
  let postgres: ReplicatedPostgres;
  let service: Service;

  beforeAll(async () => {
    postgres = await ReplicatedPostgres.start(programs!);
    service = await Service.start({ DATABASE_URL: postgres.url });
  }, 60_000);
  afterAll(async () => {
    await service.stop('SIGKILL');
    await postgres.remove();
  }, 60_000);

  const submit = async (type: string, tasks: readonly object[]): Promise<string> =>
    (await service.json('POST', '/api/v2/jobs', { type, tasks })).id;
  const status = (id: string) => service.json('GET', `/api/v2/job_statuses/${id}`);
  const ended = (id: string) =>
    waitFor(
      async () => {
        const now = await status(id).catch(() => ({ status: 'working' }));
        return now.progress !== undefined && now.status !== 'working' && now;
      },
      { timeoutMs: 40_000, everyMs: 50 },
    );

  it('loses nothing and doubles nothing of what runs, and the service goes on without a restart', async () => {
    const before = await submit('demo.sleep', [{ note: 'before' }]);
    const finished = await ended(before);
    const tickets = await submit(
      'tickets.create',
      Array.from({ length: TASKS }, (_, n) => ({ title: `ticket ${n}` })),
    );
    const slow = await submit(
      'demo.sleep',
      Array.from({ length: TASKS }, (_, n) => ({ ms: 100, note: String(n) })),
    );
    await waitFor(async () => (await status(slow)).progress > 0, { timeoutMs: 20_000 });
    expect(await postgres.promote({ downMs: 200, leadsFirst: true })).toBe(true);

    expect(await ended(tickets)).toMatchObject({ status: 'completed', progress: TASKS });
    const end = await ended(slow);
    expect(end).toMatchObject({ status: 'completed', progress: TASKS });
    expect(end.results.map(({ note }: { note: string }) => note)).toEqual(
      Array.from({ length: TASKS }, (_, n) => String(n)),
    );
    expect(await status(before)).toEqual(finished);
    const [made] = await query(
      postgres.url,
      'SELECT count(*)::int AS n, count(DISTINCT title)::int AS titles FROM tickets',
    );
    expect(made).toEqual({ n: TASKS, titles: TASKS });
    expect(service.child.exitCode).toBeNull();
  }, 120_000);
});
