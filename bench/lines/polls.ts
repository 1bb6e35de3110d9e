import { freePort } from '../../test/support/service.js';
import { median, whole, type Bench, type Line, type Row } from '../bench.js';
import type { LoadRequest, LoadResult } from '../load.js';
import { background, cpuSeconds, end, load } from '../processes.js';
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

interface Polled extends LoadResult {
  /** Microseconds of a processor that the server took for an answer. */
  readonly cpuUs: number;
}

async function ask(pid: number, request: Omit<LoadRequest, 'connections' | 'seconds'>): Promise<Polled> {
  const before = cpuSeconds(pid);
  const found = await load({ ...request, connections: CONNECTIONS, seconds: SECONDS });
  return { ...found, cpuUs: ((cpuSeconds(pid) - before) * 1_000_000) / (found.perSecond * SECONDS) };
}

const poll = (service: BenchService, jobs: readonly Status[]): Promise<Polled> =>
  ask(service.pid, {
    port: service.port,
    paths: jobs.map(({ url }) => new URL(url).pathname),
    headers: { Authorization: AUTHORIZATION },
  });

async function constant(bytes: number): Promise<Polled> {
  const port = await freePort();
  const bare = await background('./bare-nest.ts', String(port), String(Math.round(bytes)));
  try {
    await ask(bare.pid!, { port, paths: ['/constant'], headers: {} });
    return await ask(bare.pid!, { port, paths: ['/constant'], headers: {} });
  } finally {
    await end(bare);
  }
}

const rate = (found: readonly LoadResult[]): number => median(found.map(({ perSecond }) => perSecond));
const p99 = (found: readonly LoadResult[]): number => median(found.map(({ p99Ms }) => p99Ms));
const cpu = (found: readonly Polled[]): string =>
  `${median(found.map(({ cpuUs }) => cpuUs)).toFixed(0)} µs of a processor each`;

async function* run(bench: Bench): AsyncGenerator<Row> {
  const [ended, working, bare] = await bench.with({ WORKER_CONCURRENCY: '100' }, async (service) => {
    const done = await many(service, hold(DONE));
    for (const { url } of done) await service.ended(url);
    const held = await many(service, hold([...DONE, true]));
    for (const { url } of held) await service.progressed(url, RESULTS);
    await poll(service, done);
    // In turns, so that what else the machine does meets all three.
    const found: [Polled[], Polled[], Polled[]] = [[], [], []];
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
    value: `${whole(rate(bare))} answers/s; ${cpu(bare)}`,
    bar: { group, name: 'a bare Nest, a constant', value: rate(bare) },
  };
  yield {
    what: `(e) polls of ${JOBS} ended jobs, ${CONNECTIONS} connections`,
    value: `${whole(rate(ended))} polls/s, ${share(ended)} of the constant; p99 ${p99(ended).toFixed(1)} ms; ${cpu(ended)}`,
    goal: '≥ 80 %',
    bar: { group, name: 'Tally, ended jobs', value: rate(ended) },
  };
  yield {
    what: `(e) polls of ${JOBS} working jobs, ${CONNECTIONS} connections`,
    value: `${whole(rate(working))} polls/s, ${share(working)} of the constant; p99 ${p99(working).toFixed(1)} ms; ${cpu(working)}`,
    goal: '≥ 40 %',
    bar: { group, name: 'Tally, working jobs', value: rate(working) },
  };
  yield* besides(bench);
}

/** The same polls while a large job runs in the same process, as many as the clients get answered. */
async function* besides(bench: Bench): AsyncGenerator<Row> {
  const lines = noOps(bench.large);
  const rounds = await bench.with({}, async (service) => {
    const done = await many(service, hold(DONE));
    for (const { url } of done) await service.ended(url);
    // As (a) is warmed up.
    await endToEnd(bench, service, noOps(10_000), 10_000);
    await poll(service, done);
    const found: { polls: number; p99Ms: number; tasks: number }[] = [];
    for (let n = 0; n < bench.rounds; n += 1) {
      const polls: LoadResult[] = [];
      let isRunning = true;
      const large = endToEnd(bench, service, lines, bench.large).finally(() => (isRunning = false));
      do polls.push(await poll(service, done));
      while (isRunning);
      const p99Ms = Math.max(...polls.map((each) => each.p99Ms));
      found.push({ polls: rate(polls), p99Ms, tasks: (await large).perSecond });
    }
    return found;
  });
  const mid = (key: 'polls' | 'p99Ms' | 'tasks') => median(rounds.map((round) => round[key]));
  yield {
    what: '(e) polls of ended jobs while (a) runs',
    value: `${whole(mid('polls'))} polls/s, p99 ${mid('p99Ms').toFixed(0)} ms; (a) at ${whole(mid('tasks'))} tasks/s`,
    goal: 'p99 ≤ 50 ms',
  };
}

export const POLLS: Line = { key: 'e', run };
