import { whole, type Bench, type Line, type Row } from '../bench.js';
import { load } from '../processes.js';
import { AUTHORIZATION, type BenchService } from '../service.js';

/** (c): many jobs of ten tasks from clients of their own; until none works any more. */

const JOBS = 2_000;
const TASKS = 10;
const CLIENTS = 50;
const BODY = JSON.stringify({
  type: 'bench.no_op',
  tasks: Array.from({ length: TASKS }, () => ({ note: 'x'.repeat(89) })),
});

async function round(service: BenchService): Promise<number> {
  const { refused, perSecond } = await load({
    port: service.port,
    paths: ['/api/v2/jobs.json'],
    headers: { Authorization: AUTHORIZATION, 'Content-Type': 'application/json' },
    connections: CLIENTS,
    times: JOBS,
    body: BODY,
  });
  if (refused > 0) throw new Error(`${refused} submissions were refused`);
  // From the first connection, and not while the clients' process was being started.
  const submittedMs = (JOBS / perSecond) * 1_000;
  const answeredMs = performance.now();
  await service.idle();
  return JOBS / ((submittedMs + performance.now() - answeredMs) / 1_000);
}

async function* run(bench: Bench): AsyncGenerator<Row> {
  const perSecond = await bench.with({}, async (service) => {
    // The first round warms it up; credentials that have just been verified are remembered.
    await service.submit(BODY);
    await round(service);
    return bench.median(() => round(service));
  });
  yield {
    what: `(c) ${whole(JOBS)} jobs of ${TASKS} tasks from ${CLIENTS} clients`,
    value: `${whole(perSecond)} jobs/s`,
    goal: '≥ 1,500',
  };
}

export const SMALL_JOBS: Line = { key: 'c', run };
