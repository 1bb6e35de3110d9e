import type pg from 'pg';
import { checkVersion, missingMigrations } from '../database/migrate.js';
import { messageOf } from '../errors.js';

export interface Finding {
  readonly what: string;
  readonly is: 'well' | 'doubtful' | 'ill';
  /** What was seen, in a sentence or a number with its unit. */
  readonly seen: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** Looks at one thing and changes nothing. */
export type Check = (session: pg.Client) => Promise<Finding>;

const SKEW_SECONDS = 5;
/** Workers say every 5 s that they live. */
const SILENT_SECONDS = 15;
const OLD_SECONDS = 60;
/** The sweep takes a dead lease back every half second, as long as a worker lives. */
const DEAD_SECONDS = 5;

async function rowOf<Row extends pg.QueryResultRow>(
  session: pg.Client,
  sql: string,
  values: unknown[] = [],
): Promise<Row> {
  const { rows } = await session.query<Row>(sql, values);
  const [row] = rows;
  if (!row) throw new Error('expected a row');
  return row;
}

const version: Check = async (session) => {
  const what = 'Postgres version';
  try {
    return { what, is: 'well', seen: await checkVersion(session) };
  } catch (error) {
    return {
      what,
      is: 'ill',
      seen: messageOf(error),
      advice: 'Upgrade Postgres, or set DATABASE_URL to another server.',
    };
  }
};

const migrations: Check = async (session) => {
  const what = 'Migrations';
  try {
    const missing = await missingMigrations(session);
    if (missing.length === 0) return { what, is: 'well', seen: 'all are applied' };
    const seen = `${missing.length} not applied yet: ${missing.join(', ')}`;
    return {
      what,
      is: 'ill',
      seen,
      advice: 'Start the service: it migrates its database before anything else.',
    };
  } catch (error) {
    return {
      what,
      is: 'ill',
      seen: messageOf(error),
      advice: 'Run the version of Tally that this database belongs to.',
    };
  }
};

/** Leases live by Postgres's clock alone; but logs, sessions of the dashboard and signed callbacks go by this one. */
const clock: Check = async (session) => {
  const before = Date.now();
  const { now } = await rowOf<{ now: string }>(
    session,
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::text AS now',
  );
  const skew = Math.abs(Number(now) - (before + Date.now()) / 2) / 1_000;
  const seen = `${skew.toFixed(1)} s between this machine and Postgres`;
  if (skew < SKEW_SECONDS) return { what: 'Clock', is: 'well', seen };
  const advice =
    'Let NTP set both clocks. No task is harmed, since leases go by Postgres’s clock alone; times in logs are.';
  return { what: 'Clock', is: 'doubtful', seen, advice };
};

const workers: Check = async (session) => {
  const what = 'Workers';
  const { alive, places, idle } = await rowOf<{ alive: number; places: number; idle: string[] }>(
    session,
    `SELECT count(*)::int AS alive, coalesce(sum(concurrency), 0)::int AS places,
            ARRAY(SELECT DISTINCT type FROM job_statuses WHERE status = 'working'
                  EXCEPT SELECT unnest(types) FROM workers WHERE seen_at > clock_timestamp() - $1 * interval '1 second') AS idle
       FROM workers WHERE seen_at > clock_timestamp() - $1 * interval '1 second'`,
    [SILENT_SECONDS],
  );
  const seen = `${alive} alive, with ${places} places for tasks`;
  if (alive === 0)
    return {
      what,
      is: 'ill',
      seen,
      advice: 'Start one: a process with ROLE=worker or ROLE=all. Jobs wait meanwhile, and nothing is lost.',
    };
  if (idle.length === 0) return { what, is: 'well', seen };
  const advice = 'Start a worker that has these handlers: see HANDLERS.';
  return { what, is: 'ill', seen: `${seen}; none of them knows ${idle.join(', ')}`, advice };
};

const queue: Check = async (session) => {
  const what = 'Queue';
  const { tasks, age } = await rowOf<{ tasks: string; age: number | null }>(
    session,
    `SELECT coalesce(sum(c.size - c.recorded), 0)::text AS tasks,
            extract(epoch FROM clock_timestamp() - min(coalesce(j.start_at, j.created_at))
              FILTER (WHERE j.started_at IS NULL))::float8 AS age
       FROM task_chunks c JOIN job_statuses j ON j.id = c.job_id
      WHERE c.state = 'ready' AND j.status = 'working' AND NOT j.paused`,
  );
  const waits = age === null ? '' : `; the oldest job that has not begun waits for ${Math.round(age)} s`;
  const seen = `${tasks} tasks are ready${waits}`;
  if ((age ?? 0) < OLD_SECONDS) return { what, is: 'well', seen };
  return {
    what,
    is: 'doubtful',
    seen,
    advice: 'Add workers or raise WORKER_CONCURRENCY, unless the tasks themselves are that slow.',
  };
};

const leases: Check = async (session) => {
  const what = 'Leases';
  const { held, dead } = await rowOf<{ held: number; dead: number }>(
    session,
    `SELECT count(*)::int AS held,
            (count(*) FILTER (WHERE lease_expires_at < clock_timestamp() - $1 * interval '1 second'))::int AS dead
       FROM task_chunks WHERE state = 'leased'`,
    [DEAD_SECONDS],
  );
  if (dead === 0) return { what, is: 'well', seen: `${held} held, none of them dead` };
  const seen = `${dead} of ${held} have run out and nobody took them back`;
  return {
    what,
    is: 'ill',
    seen,
    advice: 'A living worker takes them back within a second: start one, or look into its log.',
  };
};

const callbacks: Check = async (session) => {
  const what = 'Callbacks';
  const { due, failed } = await rowOf<{ due: number; failed: number }>(
    session,
    `SELECT (count(*) FILTER (WHERE state = 'pending' AND due_at < clock_timestamp() - interval '1 minute'))::int AS due,
            (count(*) FILTER (WHERE state = 'failed'))::int AS failed
       FROM job_callbacks`,
  );
  const seen = `${due} are late, ${failed} were given up`;
  if (due === 0) return { what, is: 'well', seen };
  return {
    what,
    is: 'doubtful',
    seen,
    advice: 'Workers send them only with CALLBACK_SECRET set: see their log.',
  };
};

/** Those that need no tables, and those that do. */
export const OF_THE_SERVER: readonly Check[] = [version, clock];
export const OF_THE_SCHEMA: Check = migrations;
export const OF_THE_SERVICE: readonly Check[] = [workers, queue, leases, callbacks];
