import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { BenchService } from './service.js';

/**
 * Measures the whole service over HTTP on one Postgres with its default durability: `npm run bench`. Machines are noisy:
 * each line is the median of its rounds, and only lines of one run compare.
 */

const ROUNDS = 3;
/** A task of about 100 bytes whose handler returns at once. */
const NO_OP = `{"ms":0,"note":"${'x'.repeat(80)}"}`;

const job = (task: string, total: number): string =>
  `{"type":"demo.sleep","tasks":[${Array.from({ length: total }, () => task).join(',')}]}`;

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

async function rounds(measure: () => Promise<number>): Promise<number> {
  const numbers: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) numbers.push(await measure());
  return median(numbers);
}

const line = (what: string, value: string): void =>
  console.log(`| ${what.padEnd(62)} | ${value.padStart(22)} |`);

/** Tasks a second from the first byte of the submission to the poll that sees the end. */
async function endToEnd(service: BenchService, total: number): Promise<number> {
  const body = job(NO_OP, total);
  return rounds(async () => {
    const begun = performance.now();
    const { url } = await service.submit(body);
    await service.ended(url, total > 10_000 ? 20 : 5);
    return total / ((performance.now() - begun) / 1_000);
  });
}

async function polls(service: BenchService): Promise<number> {
  const { url } = await service.submit(job(NO_OP, 100));
  await service.ended(url);
  return rounds(async () => {
    const untilMs = performance.now() + 2_000;
    let answers = 0;
    const poller = async () => {
      for (; performance.now() < untilMs; answers += 1) await (await service.call('GET', url)).text();
    };
    await Promise.all(Array.from({ length: 20 }, poller));
    return answers / 2;
  });
}

async function main(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tally-bench-'));
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined });
  const env = { DATABASE_URL: postgres.url };
  console.log(
    `Node ${process.version}, ${cpus().length} cores (${cpus()[0]?.model ?? '?'}), medians of ${ROUNDS}\n`,
  );
  try {
    const service = await BenchService.start(env);
    for (const total of [1_000, 10_000, 100_000])
      line(
        `${total} no-op tasks, submitted, run, recorded, polled`,
        `${Math.round(await endToEnd(service, total))} tasks/s`,
      );
    line('polls of an ended job of 100 results, 20 clients', `${Math.round(await polls(service))} polls/s`);
    await service.stop();

    const workers = { ...env, ROLE: 'worker', WORKER_CONCURRENCY: '10' };
    const group = await Promise.all([
      BenchService.start({ ...env, ROLE: 'api' }),
      BenchService.start(workers),
      BenchService.start(workers),
    ]);
    const [api] = group;
    const seconds = await rounds(async () => {
      const begun = performance.now();
      await api.ended((await api.submit(job('{"ms":1000}', 100))).url);
      return (performance.now() - begun) / 1_000;
    });
    line('100 tasks of 1 s on two workers with 10 places each', `${seconds.toFixed(2)} s`);
    const killMs = await rounds(async () => {
      const { id, url } = await api.submit(job('{"ms":300}', 100_000));
      while (((await (await api.call('GET', url)).json()) as { progress: number }).progress === 0);
      const begun = performance.now();
      await (await api.call('POST', `/api/v2/jobs/${id}/kill.json`)).text();
      return performance.now() - begun;
    });
    line('the answer to the kill of a running job of 100,000 tasks', `${killMs.toFixed(0)} ms`);
    await Promise.all(group.map((member) => member.stop()));
  } finally {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

await main();
