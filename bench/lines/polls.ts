import { freePort } from '../../test/support/service.js';
import { median, whole, type Bench, type Line, type Row } from '../bench.js';
import type { LoadResult } from '../load.js';
import { background, end, load } from '../processes.js';
import { AUTHORIZATION, type BenchService, type Status } from '../service.js';
import { endToEnd, noOps } from './end-to-end.js';

/** (e), (f): polls of ten jobs with a hundred results of a hundred bytes each, against a bare Nest that answers a constant. */

const JOBS = 10;
const RESULTS = 100;
const CONNECTIONS = 50;
const SECONDS = 4;
const NOTE = 'x'.repeat(73);

const hold = (holds: readonly boolean[]): string =>
  JSON.stringify({ type: 'bench.hold', tasks: holds.map((each) => ({ note: NOTE, holds: each })) });
const DONE = Array<boolean>(RESULTS).fill(false);

const many = async (service: BenchService, body: string): Promise<Status[]> => {
  const jobs: Status[] = [];
  for (let n = 0; n < JOBS; n += 1) jobs.push(await service.submit(body));
  return jobs;
};

const poll = (service: BenchService, jobs: readonly Status[]): Promise<LoadResult> =>
  load({
    port: service.port,
    paths: jobs.map(({ url }) => new URL(url).pathname),
    headers: { Authorization: AUTHORIZATION },
    connections: CONNECTIONS,
    seconds: SECONDS,
  });

async function constant(bytes: number): Promise<LoadResult> {
  const port = await freePort();
  const bare = await background('./bare-nest.ts', String(port), String(Math.round(bytes)));
  try {
    return await load({ port, paths: ['/constant'], headers: {}, connections: CONNECTIONS, seconds: SECONDS });
  } finally {
    await end(bare);
  }
}

const rate = (found: readonly LoadResult[]): number => median(found.map(({ perSecond }) => perSecond));
const p99 = (found: readonly LoadResult[]): number => median(found.map(({ p99Ms }) => p99Ms));

async function* run(bench: Bench): AsyncGenerator<Row> {
  const [ended, working, bare] = await bench.with({ WORKER_CONCURRENCY: '100' }, async (service) => {
    const done = await many(service, hold(DONE));
    for (const { url } of done) await service.ended(url);
    const held = await many(service, hold([...DONE, true]));
    for (const { url } of held) await service.progressed(url, RESULTS);
    await poll(service, done);
    // In turns, so that what else the machine does meets all three.
    const found: [LoadResult[], LoadResult[], LoadResult[]] = [[], [], []];
    for (let n = 0; n < bench.rounds; n += 1) {
      found[0].push(await poll(service, done));
      found[1].push(await poll(service, held));
      found[2].push(await constant(found[0][0]!.bytes));
    }
    return found;
  });
  const all = [...ended, ...working, ...bare];
  if (all.some(({ refused }) => refused > 0)) throw new Error('a poll was refused');
  const share = (found: readonly LoadResult[]) => `${Math.round((100 * rate(found)) / rate(bare))} %`;
  const group = 'Answers a second to polls, 50 connections';
  yield {
    what: `(f) a bare Nest, a constant of ${whole(ended[0]!.bytes)} bytes`,
    value: `${whole(rate(bare))} answers/s`,
    bar: { group, name: 'a bare Nest, a constant', value: rate(bare) },
  };
  yield {
    what: `(e) polls of ${JOBS} ended jobs, ${CONNECTIONS} connections`,
    value: `${whole(rate(ended))} polls/s, ${share(ended)} of the constant; p99 ${p99(ended).toFixed(1)} ms`,
    goal: '≥ 80 %',
    bar: { group, name: 'Tally, ended jobs', value: rate(ended) },
  };
  yield {
    what: `(e) polls of ${JOBS} working jobs, ${CONNECTIONS} connections`,
    value: `${whole(rate(working))} polls/s, ${share(working)} of the constant; p99 ${p99(working).toFixed(1)} ms`,
    goal: '≥ 40 %',
    bar: { group, name: 'Tally, working jobs', value: rate(working) },
  };
  yield* besides(bench);
}

/** The same polls while a large job runs in the same process, as many as the clients get answered. */
async function* besides(bench: Bench): AsyncGenerator<Row> {
  const lines = noOps(bench.large);
  const [found, perSecond] = await bench.with({}, async (service) => {
    const done = await many(service, hold(DONE));
    for (const { url } of done) await service.ended(url);
    const polls: LoadResult[] = [];
    let isRunning = true;
    const large = endToEnd(bench, service, lines, bench.large).finally(() => (isRunning = false));
    do polls.push(await poll(service, done));
    while (isRunning);
    return [polls, (await large).perSecond];
  });
  yield {
    what: '(e) polls of ended jobs while (a) runs',
    value: `${whole(rate(found))} polls/s, p99 ${Math.max(...found.map(({ p99Ms }) => p99Ms)).toFixed(0)} ms; (a) at ${whole(perSecond)} tasks/s`,
    goal: 'p99 ≤ 50 ms',
  };
}

export const POLLS: Line = { key: 'e', run };
