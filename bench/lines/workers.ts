import { whole, type Bench, type Line, type Row } from '../bench.js';
import { BenchService } from '../service.js';

/** (h): a handler that waits 50 ms, on one, two and four worker processes. */

const WAIT_MS = 50;
const PLACES = 100;
/** So that each takes the same time. */
const TASKS_A_WORKER = 10_000;

async function* run(bench: Bench): AsyncGenerator<Row> {
  const env = { DATABASE_URL: bench.databaseUrl };
  let one = NaN;
  for (const count of [1, 2, 4]) {
    const total = count * TASKS_A_WORKER;
    const lines = Buffer.from(`{"ms":${WAIT_MS}}\n`.repeat(total));
    const worker = { ...env, ROLE: 'worker', WORKER_CONCURRENCY: String(PLACES) };
    const group = await Promise.all([
      BenchService.start({ ...env, ROLE: 'api' }),
      ...Array.from({ length: count }, () => BenchService.start(worker)),
    ]);
    try {
      const perSecond = await bench.median(async () => {
        const begun = performance.now();
        await group[0].ended((await group[0].upload('bench.wait', lines)).url, 20);
        return total / ((performance.now() - begun) / 1_000);
      });
      if (count === 1) one = perSecond;
      const best = (count * PLACES * 1_000) / WAIT_MS;
      yield {
        what: `(h) a handler that waits ${WAIT_MS} ms, ${count} × ${PLACES} places`,
        value: `${whole(perSecond)} tasks/s: ${(perSecond / one).toFixed(2)} × one worker, ${Math.round((100 * perSecond) / best)} % of the ideal`,
        goal: 'linear within 10 %',
      };
    } finally {
      await Promise.all(group.map((member) => member.stop()));
    }
  }
}

export const WORKERS: Line = { key: 'h', run };
