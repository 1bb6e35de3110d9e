import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CHUNKS_AT_ONCE, RESULTS_AT_ONCE } from '../../src/jobs/retention.store.js';
import { Retention } from '../../src/workers/retention.js';
import { bigJob, jobWith } from '../jobs/results-support.js';
import type { TestApp, TestUser } from '../support/app.js';
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

describe('what a removed job leaves', () => {
  it('goes in small steps, while nobody sees anything of it', async () => {
    const id = await bigJob({ app, user }, 3 * RESULTS_AT_ONCE + 1);
    await kept.endedAgo(id, '168 hours');
    const store = storeOf(app);
    await store.take('test', LEASE_MS);
    expect(await store.expire('test', LEASE_MS, HOURS)).toEqual({ jobs: 1, isLate: false });
    for (const path of ['.json', '/results.json', '/results.ndjson', '/results.csv', '/events'])
      expect((await app.get(`/api/v2/jobs/${id}${path}`, user)).status).toBe(404);
    expect((await app.get(`/api/v2/job_statuses/${id}.json`, user)).status).toBe(404);
    expect((await app.get('/api/v2/jobs.json', user)).body.jobs).toEqual([]);
    for (const left of [2 * RESULTS_AT_ONCE + 1, RESULTS_AT_ONCE + 1, 1, 0]) {
      expect(await store.purge('test', LEASE_MS)).toBe(true);
      expect(await kept.rows()).toMatchObject({ results: left, removed: 1 });
    }
    expect(await store.purge('test', LEASE_MS)).toBe(true);
    expect(await kept.rows()).toEqual(NOTHING);
    expect(await store.purge('test', LEASE_MS)).toBe(false);
  });

  it('goes chunk by chunk, a few at a time', async () => {
    const id = await kept.submit(32_000);
    await kept.act(id, 'kill');
    expect((await app.call('DELETE', `/api/v2/jobs/${id}`, user)).status).toBe(204);
    const store = storeOf(app);
    await store.take('test', LEASE_MS);
    await store.purge('test', LEASE_MS);
    expect(await kept.rows()).toMatchObject({ jobs: 0, chunks: 32 - CHUNKS_AT_ONCE });
    await store.leave('test');
    await run(app);
    expect(await kept.rows()).toEqual(NOTHING);
  });

  it('goes together where it is little', async () => {
    for (let n = 0; n < 20; n += 1) {
      const id = await bigJob({ app, user }, 2);
      await kept.endedAgo(id, '168 hours');
    }
    const store = storeOf(app);
    await store.take('test', LEASE_MS);
    await store.expire('test', LEASE_MS, HOURS);
    await store.purge('test', LEASE_MS);
    expect(await kept.rows()).toMatchObject({ results: 0, removed: 20 });
    await store.purge('test', LEASE_MS);
    expect(await kept.rows()).toEqual(NOTHING);
  });

  it('is late when the job should have gone an hour ago, and then the rests are shorter', async () => {
    const [usual, late] = [await bigJob({ app, user }, 1), await bigJob({ app, user }, 1)];
    const store = storeOf(app);
    await store.take('test', LEASE_MS);
    await kept.endedAgo(usual, '168 hours 59 minutes');
    expect(await store.expire('test', LEASE_MS, HOURS)).toEqual({ jobs: 1, isLate: false });
    await kept.endedAgo(late, '169 hours');
    expect(await store.expire('test', LEASE_MS, HOURS)).toEqual({ jobs: 1, isLate: true });
  });

  it('has gaps where a job was killed, and goes all the same', async () => {
    const sparse = [3, 700, 4_999].map((index) => ({ index, result: '1' }));
    const id = await jobWith({ app, user }, sparse, { total: 5_000 });
    await kept.act(id, 'kill');
    await kept.endedAgo(id, '168 hours');
    await run(app);
    expect(await kept.rows()).toEqual(NOTHING);
  });

  it('is left where it is by a stop in the middle, and goes later', async () => {
    const id = await bigJob({ app, user }, 20 * RESULTS_AT_ONCE);
    await kept.endedAgo(id, '168 hours');
    const running = run(app);
    await waitFor(async () => {
      const [removed] = await app.prisma.deletedJob.findMany();
      return removed && removed.removedBelow > 0;
    });
    await app.app.get(Retention).stop();
    await running;
    const { results, removed } = await kept.rows();
    expect(removed).toBe(1);
    expect(results).toBeGreaterThan(0);
    expect(await app.prisma.duty.count()).toBe(0);
    await run(app);
    expect(await kept.rows()).toEqual(NOTHING);
  });
});

describe('of two processes', () => {
  it('one removes and the other stays away, until the first leaves', async () => {
    const other = await kept.another();
    await kept.endedAgo(await bigJob({ app, user }, 100), '168 hours');
    expect(await storeOf(app).take('first', LEASE_MS)).toBe(true);
    expect(await storeOf(other).take('second', LEASE_MS)).toBe(false);
    await run(other);
    expect(await kept.rows()).toMatchObject({ jobs: 1, results: 100 });
    await storeOf(app).leave('first');
    await run(other);
    expect(await kept.rows()).toEqual(NOTHING);
  });

  it('the second goes on where a dead one was, which then removes nothing more', async () => {
    const store = storeOf(app);
    await kept.endedAgo(await bigJob({ app, user }, 3 * RESULTS_AT_ONCE), '168 hours');
    await kept.endedAgo(await bigJob({ app, user }, 10), '167 hours');
    await store.take('dead', LEASE_MS);
    await store.expire('dead', LEASE_MS, HOURS);
    await store.purge('dead', LEASE_MS);
    await app.prisma.$executeRaw`UPDATE duties SET lease_expires_at = clock_timestamp()`;
    expect(await store.purge('dead', LEASE_MS)).toBe(false);
    expect(await store.take('second', LEASE_MS)).toBe(true);
    expect(await store.purge('dead', LEASE_MS)).toBe(false);
    expect(await store.expire('dead', LEASE_MS, 1)).toEqual({ jobs: 0, isLate: false });
    await store.leave('dead');
    expect(await kept.rows()).toMatchObject({ jobs: 1, results: 2 * RESULTS_AT_ONCE + 10 });
    while (await store.purge('second', LEASE_MS));
    expect(await kept.rows()).toEqual({ ...NOTHING, jobs: 1, results: 10 });
  });

  it('none loses or doubles anything when both begin at once, and people delete meanwhile', async () => {
    const other = await kept.another();
    const [old, young, deleted]: string[][] = [[], [], []];
    for (let n = 0; n < 15; n += 1) {
      old!.push(await bigJob({ app, user }, 500));
      young!.push(await bigJob({ app, user }, 100));
      deleted!.push(await bigJob({ app, user }, 100));
    }
    for (const id of old!) await kept.endedAgo(id, '168 hours');
    const deletions = [...deleted!, ...old!.slice(0, 5)].map((id) =>
      app.call('DELETE', `/api/v2/jobs/${id}`, user),
    );
    await Promise.all([run(app), run(other), ...deletions]);
    await run(app);
    expect(await kept.rows()).toEqual({ ...NOTHING, jobs: 15, results: 1_500 });
    for (const id of young!) expect((await kept.job(id)).body.progress).toBe(100);
  });
});
