import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Leases } from './leases.js';
import type { Logs } from './logs.js';
import type { Outages } from './outages.js';
import { OBSERVER, type ChaosDatabase, type FailoverDatabase, type Promotion } from './database.js';
import { WORKERS, type Disturbance } from './schedule.js';
import { Supervised, type Life } from './supervised.js';
import type { Verdict } from './verdict.js';

const START_MS = 90_000;
/** A boot waits for a database that is away, and may take that long after it is back on a busy machine. */
const BOOT_AFTERMATH_MS = 15_000;

export interface Surroundings {
  readonly verdict: Verdict;
  readonly logs: Logs;
  readonly leases: Leases;
  readonly sql: pg.Pool;
  readonly postgres: ChaosDatabase;
  /** The same, where it has a standby and a pooler. */
  readonly failover: FailoverDatabase | null;
  /** The API is away by our doing. */
  readonly api: Outages;
  /** The database is away, or has lost connections, by our doing. */
  readonly database: Outages;
  /** Nobody could take up a task. */
  readonly blocked: Outages;
}

/** One API, which is a worker as well, more workers and their Postgres: keeps them running, and disturbs them as the schedule says. */
export class Fleet {
  readonly #api: Supervised;
  readonly #workers: Supervised[];
  #isApiAway = false;
  #isIdle = false;
  readonly #under = new Set<Promise<unknown>>();

  constructor(
    private readonly around: Surroundings,
    env: Readonly<Record<string, string>>,
  ) {
    const { verdict, logs, leases, database } = around;
    const isExcused = (from: number, to: number) => database.touches(from, to, BOOT_AFTERMATH_MS);
    const life: Life = {
      changed: () => this.#look(),
      killed: (pid, at) => leases.died(pid, at),
      terminated: (pid, at) => leases.leaves(pid, at),
      ended: (pid, at) => leases.ended(pid, at),
      isExcused,
    };
    this.#workers = [];
    // It begins with some of the jobs that it takes in before anybody else can.
    this.#api = new Supervised('api', { ...env, ROLE: 'all' }, /^Tally answers at/, logs, verdict, life);
    for (let n = 0; n < WORKERS; n += 1) {
      const worker = { ...env, PORT: '', ROLE: 'worker' };
      this.#workers.push(new Supervised(`worker ${n}`, worker, /tasks at once/, logs, verdict, life));
    }
    this.#look();
  }

  get ableWorkers(): number[] {
    return [this.#api, ...this.#workers].flatMap(({ isAble, pid }) =>
      isAble && pid !== undefined ? [pid] : [],
    );
  }

  /** Waits until all of them are at work. */
  async ready(): Promise<void> {
    const byMs = Date.now() + START_MS;
    while (![this.#api, ...this.#workers].every((process) => process.isAble)) {
      if (Date.now() > byMs) throw new Error(`not all processes were up within ${START_MS} ms`);
      await sleep(50);
    }
  }

  /** Carries the schedule out. Disturbances overlap: none waits until the one before is over. */
  async disturb(schedule: readonly Disturbance[], stop: AbortSignal): Promise<void> {
    const begunAt = Date.now();
    for (const disturbance of schedule) {
      try {
        await sleep(Math.max(0, begunAt + disturbance.atMs - Date.now()), undefined, { signal: stop });
      } catch {
        break;
      }
      this.around.verdict.deed(JSON.stringify({ ...disturbance, atMs: undefined }));
      const doing = this.#do(disturbance)
        .then((done) => this.around.verdict.count(done ? disturbance.kind : `in vain: ${disturbance.kind}`))
        .finally(() => this.#under.delete(doing));
      this.#under.add(doing);
    }
    await Promise.all(this.#under);
  }

  async close(): Promise<void> {
    await Promise.all([this.#api, ...this.#workers].map((process) => process.close()));
  }

  async #do(disturbance: Disturbance): Promise<boolean> {
    switch (disturbance.kind) {
      case 'kill api':
        return this.#api.kill(disturbance.restartMs);
      case 'terminate api':
        return this.#api.terminate(disturbance.restartMs);
      case 'kill worker':
        return (await this.#workers[disturbance.worker]?.kill(disturbance.restartMs)) ?? false;
      case 'terminate worker':
        return this.#workers[disturbance.worker]?.terminate(disturbance.restartMs) ?? false;
      case 'stop worker':
        return (await this.#workers[disturbance.worker]?.stop(disturbance.forMs)) ?? false;
      case 'end backends':
        return this.#endBackends(disturbance.shares);
      case 'restart postgres':
        return this.#takeAway(({ postgres }) => postgres.restart(disturbance.downMs));
      case 'restart pooler':
        return this.#takeAway(({ failover }) => failover?.restartPooler(disturbance.downMs));
      case 'promotion':
        return this.#takeAway(({ failover }) => this.#promote(failover, disturbance));
    }
  }

  /** @param shares of the backends there are, which ones: how many there will be nobody knows beforehand */
  async #endBackends(shares: readonly number[]): Promise<boolean> {
    const { sql, database, verdict, postgres } = this.around;
    // One that waits for the standby would show what the standby, just being promoted, has not.
    if (postgres.isBusy) return false;
    database.begin();
    try {
      const { rows } = await sql.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> $1
            AND datname = current_database() ORDER BY backend_start`,
        [OBSERVER],
      );
      const pids = [...new Set(shares.map((share) => rows[Math.floor(share * rows.length)]?.pid))];
      const found = pids.filter((pid) => pid !== undefined);
      await sql.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [found]);
      verdict.count('backends ended', found.length);
      return found.length > 0;
    } catch {
      // It is down already: there is nothing to end.
      return false;
    } finally {
      database.end();
    }
  }

  async #promote(failover: FailoverDatabase | null, how: Promotion): Promise<boolean> {
    const at = Date.now();
    const done = (await failover?.promote(how)) ?? false;
    if (done)
      this.around.verdict.measure(
        'from the death of the primary until something can be written',
        Date.now() - at,
      );
    return done;
  }

  /** Does something to the database while which nobody can work. @returns whether it was done */
  async #takeAway(what: (around: Surroundings) => Promise<unknown> | undefined): Promise<boolean> {
    const { postgres, blocked, database } = this.around;
    if (postgres.isBusy) return false;
    database.begin();
    blocked.begin();
    try {
      return (await what(this.around)) !== false;
    } finally {
      blocked.end();
      database.end();
    }
  }

  /** Somebody came or went. */
  #look(): void {
    const { api, blocked } = this.around;
    this.#isApiAway = follow(api, this.#isApiAway, !this.#api.isAble);
    this.#isIdle = follow(blocked, this.#isIdle, this.ableWorkers.length === 0);
  }
}

function follow(outages: Outages, was: boolean, is: boolean): boolean {
  if (is && !was) outages.begin();
  if (was && !is) outages.end();
  return is;
}
