import { setTimeout as sleep } from 'node:timers/promises';
import { quantile, type Bench, type Line, type Row } from '../bench.js';
import type { BenchService } from '../service.js';

/** (d): from before the request that submits a job of one task to the start of its handler, on a service that has nothing to do. */

const SAMPLES = 300;
const WARM_UP = 50;
const BODY = Buffer.from('{"type":"bench.start","tasks":[{}]}');

async function sample(service: BenchService): Promise<number> {
  const asked = performance.timeOrigin + performance.now();
  const { url } = await service.post('/api/v2/jobs.json', 'application/json', BODY);
  await service.ended(url, 2);
  const { results } = (await (await service.call('GET', url)).json()) as { results: { at: number }[] };
  // Until all that follows the end is over too, and nothing is under way.
  await sleep(20);
  return results[0]!.at - asked;
}

async function* run(bench: Bench): AsyncGenerator<Row> {
  const found = await bench.with({}, async (service) => {
    for (let n = 0; n < WARM_UP; n += 1) await sample(service);
    const samples: number[] = [];
    for (let n = 0; n < SAMPLES; n += 1) samples.push(await sample(service));
    return samples;
  });
  yield {
    what: `(d) submission to handler start, idle, ${SAMPLES} times`,
    value: `p50 ${quantile(found, 0.5).toFixed(1)} ms, p99 ${quantile(found, 0.99).toFixed(1)} ms`,
    goal: 'p50 ≤ 5, p99 ≤ 20',
  };
}

export const IDLE_LATENCY: Line = { key: 'd', run };
