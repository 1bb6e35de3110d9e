import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { BenchService } from './service.js';

/**
 * What removing expired jobs costs: `npm run bench:retention`. Live work with and without it, round about, in one run; how
 * long the removal takes; and the sizes of the tables while jobs come and expire for minutes.
 */

const RESULTS = Number(process.env['BENCH_RESULTS'] ?? 10_000_000);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 15);
const SOAK_SECONDS = Number(process.env['BENCH_SOAK_SECONDS'] ?? 240);
const JOBS = 100;
const LIVE_TASKS = 100_000;
/** A cycle of the soak begins so often: 10,000 tasks a second on average. */
const CYCLE_MS = 5_000;
const NO_OP = `{"ms":0,"note":"${'x'.repeat(80)}"}`;
const TABLES = ['job_results', 'job_statuses', 'task_chunks', 'deleted_jobs', 'duties'];

const job = (total: number): string =>
  `{"type":"demo.sleep","tasks":[${Array.from({ length: total }, () => NO_OP).join(',')}]}`;

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

class Database {
  constructor(readonly client: pg.Client) {}

  async number(sql: string): Promise<number> {
    const { rows } = await this.client.query<{ n: string }>(`SELECT (${sql}) AS n`);
    return Number(rows[0]?.n);
  }

  /** The retention stops after its step, and begins again when it is let. */
  async hold(): Promise<void> {
    await this.client.query(`INSERT INTO duties VALUES ('retention', 'bench', 'infinity')
      ON CONFLICT (name) DO UPDATE SET holder = 'bench', lease_expires_at = 'infinity'`);
  }

  async let(): Promise<void> {
    await this.client.query('DELETE FROM duties');
  }

  /** Results that are gone of the jobs whose removal is under way. */
  removed(): Promise<number> {
    return this.number('SELECT coalesce(sum(removed_below), 0) FROM deleted_jobs');
  }

  async fill(): Promise<void> {
    await this.client.query(
      `WITH job AS (
         INSERT INTO job_statuses (id, account_id, created_by, type, total, progress, status, created_at, finished_at)
         SELECT uuidv7(interval '-200 hours'), account_id, id, 'demo.sleep', $1, $1, 'completed',
                now() - interval '200 hours', now() - interval '168 hours'
           FROM users, generate_series(1, ${JOBS}) LIMIT ${JOBS} RETURNING id
       )
       INSERT INTO job_results (job_id, index, success, result, attempts)
       SELECT job.id, n, true, $2::json, 1 FROM job, generate_series(0, $1 - 1) AS n`,
      [RESULTS / JOBS, `${NO_OP.slice(0, -1)},"status":"Slept"}`],
    );
    await this.client.query('VACUUM (ANALYZE) job_results');
    await this.client.query('CHECKPOINT');
  }

  /** Lets all but the newest ended jobs expire. */
  async age(keep: number): Promise<void> {
    await this.client.query('BEGIN');
    // An ended job never changes: a trigger sees to that, and this passes it by.
    await this.client.query('SET LOCAL session_replication_role = replica');
    await this.client.query(
      `UPDATE job_statuses SET finished_at = now() - interval '168 hours'
        WHERE finished_at > now() - interval '100 hours'
          AND id < (SELECT id FROM job_statuses ORDER BY id DESC OFFSET $1 LIMIT 1)`,
      [keep],
    );
    await this.client.query('COMMIT');
  }

  async sizes(what: string): Promise<void> {
    const { rows } = await this.client.query<Record<string, string>>(
      `SELECT relname AS name, pg_table_size(relid) / 1048576.0 AS heap, pg_indexes_size(relid) / 1048576.0 AS indexes,
              n_live_tup AS live, n_dead_tup AS dead, n_tup_upd AS updates, n_tup_hot_upd AS hot, autovacuum_count AS vacuums
         FROM pg_stat_user_tables WHERE relname = ANY($1) ORDER BY array_position($1, relname::text)`,
      [TABLES],
    );
    console.log(`\n${what}`);
    for (const row of rows)
      console.log(
        `  ${String(row['name']).padEnd(13)} table ${Number(row['heap']).toFixed(1).padStart(7)} MiB, indexes ` +
          `${Number(row['indexes']).toFixed(1).padStart(6)} MiB, live ${row['live']}, dead ${row['dead']}, ` +
          `updates ${row['updates']} (${row['hot']} heap-only), autovacuums ${row['vacuums']}`,
      );
  }
}

async function live(service: BenchService): Promise<number> {
  const body = job(LIVE_TASKS);
  const begun = performance.now();
  const { url } = await service.submit(body);
  await service.ended(url);
  return performance.now() - begun;
}

async function compare(service: BenchService, db: Database): Promise<void> {
  const without: number[] = [];
  const during: number[] = [];
  let removed = 0;
  for (let warm = 0; warm < 3; warm += 1) await live(service);
  for (let round = 0; round < ROUNDS; round += 1) {
    without.push(await live(service));
    const before = await db.removed();
    await db.let();
    while ((await db.number('SELECT count(*) FROM duties')) === 0) await sleep(10);
    during.push(await live(service));
    await db.hold();
    removed += (await db.removed()) - before;
  }
  const list = (times: readonly number[]) =>
    `${median(times).toFixed(0)} ms (${times.map((ms) => ms.toFixed(0)).join(' ')})`;
  console.log(`${LIVE_TASKS} tasks without: ${list(without)}`);
  console.log(`${LIVE_TASKS} tasks during:  ${list(during)}`);
  const pairs = median(during.map((ms, round) => ms / (without[round] ?? NaN)));
  console.log(
    `ratio of the medians ${(median(during) / median(without)).toFixed(3)}, median of the ratios ${pairs.toFixed(3)}`,
  );
  console.log(`results removed meanwhile: ${removed}`);
}

async function finish(db: Database): Promise<void> {
  const left = RESULTS - (await db.removed());
  const begun = performance.now();
  await db.let();
  do await sleep(100);
  while ((await db.number('SELECT (SELECT count(*) FROM deleted_jobs) + (SELECT count(*) FROM duties)')) > 0);
  const seconds = (performance.now() - begun) / 1_000;
  console.log(`${left} results removed in ${seconds.toFixed(1)} s: ${Math.round(left / seconds)} a second`);
}

/** Jobs large and small, of which all but the newest expire. */
async function soak(service: BenchService, db: Database): Promise<void> {
  const [large, small] = [job(50_000), job(100)];
  const begun = performance.now();
  for (let cycle = 0, nextMs = 0; ; cycle += 1) {
    const atMs = performance.now() - begun;
    if (atMs >= nextMs) {
      await db.sizes(`soak: ${(atMs / 1_000).toFixed(0)} s, ${cycle} cycles of 51,000 tasks in 11 jobs`);
      nextMs += SOAK_SECONDS * 100;
    }
    if (atMs > SOAK_SECONDS * 1_000) return;
    const made = await Promise.all(
      [large, ...Array.from({ length: 10 }, () => small)].map((body) => service.submit(body)),
    );
    for (const { url } of made) await service.ended(url);
    await db.age(22);
    await sleep(Math.max(0, CYCLE_MS * (cycle + 1) - (performance.now() - begun)));
  }
}

async function main(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tally-bench-'));
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined });
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  const db = new Database(client);
  console.log(
    `Node ${process.version}, ${cpus().length} cores (${cpus()[0]?.model ?? '?'}), ${RESULTS} results`,
  );
  const service = await BenchService.start({ DATABASE_URL: postgres.url });
  try {
    if (SOAK_SECONDS > 0) await soak(service, db);
    if (RESULTS === 0) return;
    await db.hold();
    await db.fill();
    await db.sizes('filled');
    await compare(service, db);
    await finish(db);
    await db.sizes('all expired results are gone');
  } finally {
    await service.stop();
    await client.end();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

await main();
