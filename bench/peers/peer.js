import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { Redis } from 'ioredis';
import { PgBoss } from 'pg-boss';

/**
 * The same work on another queue: so many tasks of a hundred bytes submitted, run by a handler that returns as many, until all
 * have ended. `peer.js NAME URL TASKS` prints tasks a second as its last line. The settings are those that its documentation gives for
 * throughput, and where others were quicker on two cores, those.
 */

const BATCH = 1_000;
const note = 'x'.repeat(89);
const result = { note, success: true };

/** @param add is given numbers of tasks, one call after the other */
async function inBatches(total, add) {
  for (let at = 0; at < total; at += BATCH) await add(Math.min(BATCH, total - at));
}

const times = (count, make) => Array.from({ length: count }, make);

/**
 * Batches are inserted in one statement, fetched in one, and settled in one, each task with an output of its own. Of 1,000, 2,000, 4,000
 * and 10,000 tasks in a batch and one to four batches at once these were the quickest: 22,400 tasks/s, against 17,800.
 */
async function pgBoss(url, total) {
  const boss = new PgBoss({ connectionString: url, max: 10 });
  boss.on('error', (error) => {
    throw error;
  });
  await boss.start();
  await boss.createQueue('bench');
  let ended = 0;
  const begun = performance.now();
  await inBatches(total, (count) =>
    boss.insert(
      'bench',
      times(count, () => ({ data: { note } })),
    ),
  );
  const options = {
    batchSize: 4_000,
    localConcurrency: 2,
    pollingIntervalSeconds: 0.5,
    burstWhenBatchFull: true,
    perJobResults: true,
  };
  await boss.work('bench', options, (jobs) => {
    ended += jobs.length;
    return Promise.resolve(jobs.map(({ id }) => ({ id, status: 'completed', output: result })));
  });
  while (ended < total) await sleep(5);
  const left = `SELECT count(*)::int AS n FROM pgboss.job WHERE name = 'bench' AND state < 'completed'`;
  while ((await boss.getDb().executeSql(left)).rows[0].n > 0) await sleep(5);
  const ms = performance.now() - begun;
  await boss.stop({ graceful: false });
  return ms;
}

/**
 * Jobs are fetched into a local queue and completed in batches. It keeps no results: a completed job is deleted. With the 24 jobs at
 * once and the queue of 500 of its documentation 18,000 tasks/s, with 24 and 2,000 30,000, with 100 and 8,000 34,600, with 200 no more.
 */
async function graphileWorker(url, total) {
  // A line a task, as it logs by default, would take longer than the task.
  const logger = new Logger(() => () => undefined);
  const utils = await makeWorkerUtils({ connectionString: url, logger });
  await utils.migrate();
  let ended = 0;
  const begun = performance.now();
  await inBatches(total, (count) =>
    utils.addJobs(times(count, () => ({ identifier: 'bench', payload: { note } }))),
  );
  const runner = await run({
    connectionString: url,
    logger,
    noHandleSignals: true,
    taskList: {
      bench: () => {
        ended += 1;
      },
    },
    preset: {
      worker: {
        concurrentJobs: 100,
        maxPoolSize: 25,
        localQueue: { size: 8_000 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  });
  while (ended < total) await sleep(5);
  const left = 'SELECT count(*)::int AS n FROM graphile_worker.jobs';
  while ((await utils.withPgClient((client) => client.query(left))).rows[0].n > 0) await sleep(5);
  const ms = performance.now() - begun;
  await runner.stop();
  await utils.release();
  return ms;
}

/**
 * The return value is kept with the job in Redis, which is to be told to append to its file. From 50 to 1,000 tasks at once it is as
 * quick: 13,700 to 14,400.
 */
async function bullMq(url, total) {
  const connection = () => new Redis(url, { maxRetriesPerRequest: null });
  const queue = new Queue('bench', { connection: connection() });
  await queue.waitUntilReady();
  const begun = performance.now();
  await inBatches(total, (count) => queue.addBulk(times(count, () => ({ name: 'bench', data: { note } }))));
  const worker = new Worker('bench', () => Promise.resolve(result), {
    connection: connection(),
    concurrency: 200,
  });
  while ((await queue.getCompletedCount()) < total) await sleep(5);
  const ms = performance.now() - begun;
  await worker.close(true);
  await queue.close();
  return ms;
}

const [, , name, url, tasks] = process.argv;
const total = Number(tasks);
const ms = await { 'pg-boss': pgBoss, 'graphile-worker': graphileWorker, bullmq: bullMq }[name](url, total);
// On a line of its own, the last: what a queue logs comes before it.
process.stdout.write(`\n${total / (ms / 1_000)}`, () => process.exit(0));
