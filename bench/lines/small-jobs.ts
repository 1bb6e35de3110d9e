import { whole, type Bench, type Line, type Row } from '../bench.js';
import type { BenchService } from '../service.js';

/** (c): many jobs of ten tasks from clients of their own; until none works any more. */

const JOBS = 2_000;
const TASKS = 10;
const CLIENTS = 50;
const BODY = JSON.stringify({
  type: 'bench.no_op',
  tasks: Array.from({ length: TASKS }, () => ({ note: 'x'.repeat(89) })),
});

async function round(service: BenchService): Promise<number> {
  const begun = performance.now();
  let left = JOBS;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      await service.submit(BODY);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const path = '/api/v2/job_statuses.json?filter[status]=working&page[size]=1';
  for (;;) {
    const { job_statuses: working } = (await (await service.call('GET', path)).json()) as {
      job_statuses: unknown[];
    };
    if (working.length === 0) return JOBS / ((performance.now() - begun) / 1_000);
  }
}

async function* run(bench: Bench): AsyncGenerator<Row> {
  const perSecond = await bench.with({}, async (service) => {
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
