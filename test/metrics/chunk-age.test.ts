import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newJobId } from '../../src/jobs/job.js';
import { jobOptions } from '../../src/jobs/job.schemas.js';
import { UploadStore } from '../../src/jobs/upload.store.js';
import { QueueStore } from '../../src/metrics/queue.store.js';
import { recorded, successor, TestEngine } from '../support/engine.js';

/** What is old here was ready so long ago; what is fresh, since the test began: far less, on any machine. */
const OLD_SECONDS = 1_000;

let engine: TestEngine;
beforeEach(async () => {
  engine = await TestEngine.start();
});
afterEach(() => engine.stop());

/** Makes every chunk look as if it had become ready long ago. */
const age = () =>
  engine.sql.query(`UPDATE task_chunks SET ready_at = clock_timestamp() - interval '${OLD_SECONDS} seconds'`);

/** Each look is a new store's: one tells again for some seconds what it has read. */
const look = async (type = 'test.task') =>
  (await new QueueStore(engine.prisma).state()).jobs.find((jobs) => jobs.type === type)?.oldestReadySeconds;

const isOld = (seconds: number | undefined) => {
  expect(seconds).toBeGreaterThanOrEqual(OLD_SECONDS);
  expect(seconds).toBeLessThan(2 * OLD_SECONDS);
};
const isFresh = (seconds: number | undefined) => {
  expect(seconds).toBeGreaterThan(0);
  expect(seconds).toBeLessThan(OLD_SECONDS / 2);
};

describe('the age of the oldest ready chunk', () => {
  it('is that of the oldest of its type, also of a job under way', async () => {
    await engine.submit(30);
    await age();
    await engine.submit(30);
    await engine.submit(1, { type: 'test.other' });
    isOld(await look());
    isFresh(await look('test.other'));
    const lease = await engine.claimOne();
    await engine.chunks.finish(lease, recorded([0]), [successor([1], { delayMs: 60_000 })]);
    isOld(await look());
  });

  it('counts no chunk that is leased, that waits, or whose job is paused or over, parked or not yet', async () => {
    const paused = await engine.submit(5);
    await engine.submit(1, { type: 'test.leased' });
    await engine.claimOne({ type: 'test.leased' });
    await engine.submit(1, { type: 'test.waiting' });
    const lease = await engine.claimOne({ type: 'test.waiting' });
    await engine.chunks.finish(lease, recorded([]), [successor([0], { delayMs: 60_000 })]);
    const killed = await engine.submit(1, { type: 'test.killed' });
    await age();
    isOld(await look());
    await engine.control.pause(paused);
    await engine.control.kill(killed);
    const looks = () => Promise.all(['test.task', 'test.leased', 'test.waiting', 'test.killed'].map(look));
    expect(await looks()).toEqual([0, 0, 0, undefined]);
    expect(await engine.control.park()).toBeGreaterThan(0);
    expect(await looks()).toEqual([0, 0, 0, undefined]);
  });

  it('begins anew when a paused job goes on', async () => {
    const job = await engine.submit(5);
    await engine.control.pause(job);
    await engine.control.park();
    await age();
    await engine.control.resume(job);
    await engine.control.unpark();
    isFresh(await look());
  });

  it('begins anew when a retry or a start time is due', async () => {
    await engine.submit(1);
    await engine.chunks.finish(await engine.claimOne(), recorded([]), [successor([0], { delayMs: 60_000 })]);
    await age();
    await engine.sql.query("UPDATE task_chunks SET visible_at = clock_timestamp() WHERE state = 'waiting'");
    expect(await engine.chunks.promote()).toBe(1);
    isFresh(await look());
  });

  it('begins anew when a chunk is taken from a dead worker, or given up by one that lives', async () => {
    await engine.submit(1);
    const lost = await engine.claimOne();
    await age();
    await engine.expire(lost);
    isFresh(await look());
    const suspect = await engine.claimSuspect();
    await age();
    await engine.suspects.survive(suspect!);
    isFresh(await look());
  });

  it('begins anew with what a worker hands back', async () => {
    await engine.submit(5);
    await age();
    const lease = await engine.claimOne();
    await engine.chunks.finish(lease, recorded([0]), [successor([1, 2, 3, 4])]);
    isFresh(await look());
  });

  it('begins when the last line of a streamed submission is in', async () => {
    const uploads = new UploadStore(engine.prisma);
    const job = { id: newJobId(), accountId: engine.accountId, type: 'test.task', priority: 0 };
    await uploads.open(job, 30, 60_000);
    await uploads.append(job, [{ firstPosition: 0, size: 1, tasks: Buffer.from('[{}]') }], 60_000);
    await age();
    const [createdBy, options] = [engine.userId, jobOptions.parse({})];
    const sealed = { ...job, createdBy, options, total: 1, ordered: false, maxWorkingJobs: 30, key: null };
    expect(await uploads.seal(sealed, 1)).toBe('made');
    isFresh(await look());
  });
});
