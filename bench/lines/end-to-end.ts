import type { Bench, Line, Row } from '../bench.js';
import { median, whole } from '../bench.js';
import { cpuSeconds, load, peakMib } from '../processes.js';
import { AUTHORIZATION, type BenchService } from '../service.js';

/** (a), (b), (i), (j): no-op tasks by NDJSON over HTTP, run, recorded, seen `completed` by a poll. */

/** A task of 100 bytes whose handler returns at once. */
export const noOps = (total: number): Buffer => Buffer.from(`{"note":"${'x'.repeat(89)}"}\n`.repeat(total));

export interface Round {
  readonly perSecond: number;
  /** Of these, from the first byte of the submission to its answer. */
  readonly submitted: number;
  /** Seconds of a processor for a million tasks, of Node and of Postgres. */
  readonly nodeCpu: number;
  readonly postgresCpu: number;
}

export async function endToEnd(bench: Bench, service: BenchService, lines: Buffer, total: number) {
  const cpu = async () => [cpuSeconds(service.pid), await bench.postgresCpu()] as const;
  const [node, postgres] = await cpu();
  const begun = performance.now();
  const { url } = await service.upload('bench.no_op', lines);
  const submittedMs = performance.now() - begun;
  await service.ended(url, total > 100_000 ? 50 : total > 10_000 ? 20 : 2);
  const ms = performance.now() - begun;
  const [nodeAfter, postgresAfter] = await cpu();
  const perMillion = 1_000_000 / total;
  return {
    perSecond: total / (ms / 1_000),
    submitted: total / (submittedMs / 1_000),
    nodeCpu: (nodeAfter - node) * perMillion,
    postgresCpu: (postgresAfter - postgres) * perMillion,
  } satisfies Round;
}

/** Rounds on a service of their own, after one that warms it up. */
async function rounds(bench: Bench, total: number): Promise<{ rounds: Round[]; mib: number }> {
  const lines = noOps(total);
  return bench.with({}, async (service) => {
    await endToEnd(bench, service, noOps(Math.min(total, 10_000)), Math.min(total, 10_000));
    const found: Round[] = [];
    for (let n = 0; n < bench.rounds; n += 1) found.push(await endToEnd(bench, service, lines, total));
    return { rounds: found, mib: peakMib(service.pid) };
  });
}

const mid = (found: readonly Round[], key: keyof Round): number => median(found.map((round) => round[key]));

async function* large(bench: Bench): AsyncGenerator<Row> {
  const found = await rounds(bench, bench.large);
  const perSecond = mid(found.rounds, 'perSecond');
  bench.medians.set('a', perSecond);
  yield {
    what: `(a) ${whole(bench.large)} no-op tasks, end to end`,
    value: `${whole(perSecond)} tasks/s`,
    goal: '≥ 100,000 (aim 150,000)',
    bar: { group: 'No-op tasks a second, end to end', name: 'Tally, 1,000,000 tasks', value: perSecond },
  };
  yield { what: '(a) the submission alone', value: `${whole(mid(found.rounds, 'submitted'))} tasks/s` };
  yield {
    what: '(a) processor for a million tasks',
    value: `Node ${mid(found.rounds, 'nodeCpu').toFixed(1)} s, Postgres ${mid(found.rounds, 'postgresCpu').toFixed(1)} s`,
  };
  yield { what: '(a) memory of the service at most', value: `${whole(found.mib)} MiB`, goal: '≤ 300 MB' };
}

const CLIENTS = 8;

/**
 * @param all what the smaller jobs come to, so that the cost of a task can be told from the time that one job takes
 * @returns tasks a second of jobs of `total`, from several clients at once, until none works any more
 */
async function together(service: BenchService, total: number, all: number): Promise<number> {
  const jobs = all / total;
  const { refused, perSecond } = await load({
    port: service.port,
    paths: ['/api/v2/jobs.json?type=bench.no_op'],
    headers: { Authorization: AUTHORIZATION, 'Content-Type': 'application/x-ndjson' },
    connections: Math.min(CLIENTS, jobs),
    times: jobs,
    body: noOps(total).toString(),
  });
  if (refused > 0) throw new Error(`${refused} submissions were refused`);
  const answeredMs = performance.now();
  await service.idle();
  return all / (jobs / perSecond + (performance.now() - answeredMs) / 1_000);
}

async function* sizes(bench: Bench): AsyncGenerator<Row> {
  // As many tasks as (a) has, so that what comes with their number is the same: warmth, checkpoints, the size of the tables.
  const all = bench.large;
  for (const total of [1_000, 10_000, 100_000]) {
    const { rounds: found } = await rounds(bench, total);
    const perSecond = await bench.with({}, async (service) => {
      await together(service, total, all);
      return bench.median(() => together(service, total, all));
    });
    const ratio = (bench.medians.get('a') ?? NaN) / perSecond;
    if (total === 100_000) bench.medians.set('b', perSecond);
    const alone = (total / mid(found, 'perSecond')) * 1_000;
    yield {
      what: `(b) ${whole(all)} tasks in jobs of ${whole(total)}, from ${CLIENTS} clients at most`,
      value: `${whole(perSecond)} tasks/s${Number.isNaN(ratio) ? '' : `; a task costs ${ratio.toFixed(2)} × (a)`}; one such job alone, until a poll has seen its end: ${alone.toFixed(0)} ms`,
      goal: '≤ 1.5 ×',
      bar: {
        group: 'No-op tasks a second, end to end',
        name: `Tally, jobs of ${whole(total)}`,
        value: perSecond,
      },
    };
  }
}

const HISTORY_JOBS = 1_000;
const HISTORY_EACH = 10_000;

/** (a) right after a checkpoint, when each page that is changed is written whole once: before the old results as after them. */
async function settledRounds(bench: Bench): Promise<readonly Round[]> {
  await bench.sql.query('VACUUM (ANALYZE) job_results, job_statuses');
  await bench.sql.query('CHECKPOINT');
  return (await rounds(bench, bench.large)).rounds;
}

async function* history(bench: Bench): AsyncGenerator<Row> {
  const before = await settledRounds(bench);
  await bench.sql.query(
    `WITH job AS (
       INSERT INTO job_statuses (id, account_id, created_by, type, total, progress, status, created_at, finished_at)
       SELECT gen_random_uuid(), u.account_id, u.id, 'bench.no_op', ${HISTORY_EACH}, ${HISTORY_EACH}, 'completed',
              now() - interval '2 hours', now() - interval '1 hour'
         FROM (SELECT * FROM users LIMIT 1) u, generate_series(1, ${HISTORY_JOBS}) RETURNING id)
     INSERT INTO job_results (job_id, index, success, result, attempts)
     SELECT id, n, true, '{"note":"${'x'.repeat(89)}","success":true}', 1
       FROM job, generate_series(0, ${HISTORY_EACH - 1}) AS n`,
  );
  const after = await settledRounds(bench);
  const ratio = mid(before, 'perSecond') / mid(after, 'perSecond');
  yield {
    what: `(i) (a) with ${whole(HISTORY_JOBS * HISTORY_EACH)} old results`,
    value: `${whole(mid(after, 'perSecond'))} tasks/s; ${ratio.toFixed(2)} × the time without`,
    goal: '≤ 1.15 ×',
  };
}

async function* slowFlush(bench: Bench): AsyncGenerator<Row> {
  await bench.set({ commit_delay: '2000', commit_siblings: '0' });
  try {
    const { rounds: found } = await rounds(bench, bench.large);
    bench.medians.set('j', mid(found, 'perSecond'));
    yield {
      what: '(j) (a) with 2 ms added to each flush',
      value: `${whole(mid(found, 'perSecond'))} tasks/s`,
      goal: '≥ 4 × pg-boss',
    };
  } finally {
    await bench.set({ commit_delay: null, commit_siblings: null });
  }
}

export const LARGE: Line = { key: 'a', run: large };
export const SIZES: Line = { key: 'b', run: sizes };
export const HISTORY: Line = { key: 'i', run: history };
export const SLOW_FLUSH: Line = { key: 'j', run: slowFlush };
