import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { AUTHORIZATION, BenchService, type Status } from './service.js';

/**
 * A thousand clients that wait for ten jobs with `Prefer: wait=30`: `npx tsx bench/waiting.ts`, after `npm run build`. What the
 * database has to do for them while nothing happens, and how long after the end of its job each hears of it.
 */

const CLIENTS = Number(process.env['CLIENTS'] ?? 1_000);
const JOBS = Number(process.env['JOBS'] ?? 10);
const WINDOW_S = 10;
/** A backend of Postgres reports what it has done within ten seconds. */
const SETTLE_MS = 12_000;

interface Heard {
  readonly id: string;
  readonly status: string;
  readonly atMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });

/** Asks, and says when the whole answer is there. */
const wait = (job: Status): Promise<Heard> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: AUTHORIZATION, prefer: 'wait=30' };
    request(job.url, { agent, headers }, (response) => {
      let text = '';
      response.on('data', (piece: Buffer) => (text += piece.toString()));
      response.on('end', () => {
        const { id, status } = JSON.parse(text) as Status;
        resolve({ id, status, atMs: performance.now() });
      });
    })
      .on('error', reject)
      .end();
  });

/** Transactions of the database so far; a statement on its own is one. */
async function transactions(sql: pg.Client): Promise<number> {
  const { rows } = await sql.query<{ n: string }>(
    'SELECT sum(xact_commit + xact_rollback) AS n FROM pg_stat_database WHERE datname = current_database()',
  );
  return Number(rows[0]?.n);
}

async function perSecond(sql: pg.Client): Promise<number> {
  const before = await transactions(sql);
  await sleep(WINDOW_S * 1_000);
  return ((await transactions(sql)) - before) / WINDOW_S;
}

const quantile = (numbers: readonly number[], share: number): string =>
  ([...numbers].sort((a, b) => a - b)[Math.ceil(numbers.length * share) - 1] ?? NaN).toFixed(0);

const folder = await mkdtemp(join(tmpdir(), 'tally-waiting-'));
const postgres = await startEmbeddedPostgres({ dataDir: folder, log: () => undefined });
const sql = new pg.Client({ connectionString: postgres.url });
await sql.connect();
// Without workers: the jobs stay as they are until they are killed.
const service = await BenchService.start({ DATABASE_URL: postgres.url, ROLE: 'api' });
try {
  const body = '{"type":"demo.sleep","tasks":[{"ms":1}]}';
  const jobs = await Promise.all(Array.from({ length: JOBS }, () => service.submit(body)));
  await sleep(SETTLE_MS);
  const idle = await perSecond(sql);
  const waiting = Array.from({ length: CLIENTS }, (_, n) => wait(jobs[n % JOBS]!));
  await sleep(SETTLE_MS);
  const busy = await perSecond(sql);
  const endedAt = new Map<string, number>();
  for (const { id } of jobs) {
    await service.call('POST', `/api/v2/jobs/${id}/kill.json`);
    endedAt.set(id, performance.now());
    await sleep(200);
  }
  const heard = await Promise.all(waiting);
  const late = heard.map(({ id, atMs }) => atMs - (endedAt.get(id) ?? NaN));
  console.log(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}`);
  console.log(
    `${CLIENTS} clients wait for ${JOBS} jobs; all heard that theirs was killed: ${heard.every(({ status }) => status === 'killed')}`,
  );
  console.log(`transactions a second: ${idle.toFixed(1)} before, ${busy.toFixed(1)} while they wait`);
  console.log(
    `from the answer to the kill: p50 ${quantile(late, 0.5)} ms, p99 ${quantile(late, 0.99)} ms, last ${quantile(late, 1)} ms`,
  );
} finally {
  agent.destroy();
  await service.stop();
  await sql.end();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}
