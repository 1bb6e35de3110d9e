import { expect } from '@jest/globals';
import * as control from './control.js';
import { pick, type Numbers, type World } from './world.js';

/** What two processes do that may have the duty of the retention. */

const HOURS = 24;
const DUTY_MS = 3_600_000;
const HOLDERS = ['process a', 'process b'] as const;

const holderOf = ({ a }: Numbers): string => pick(HOLDERS, a)!;

/** A job has been over for longer than jobs are kept. An ended job never changes, so this passes by the trigger. */
export async function age(world: World, { a }: Numbers): Promise<void> {
  const job = world.job(a, (one) => one.status !== 'working' && !one.isAged);
  if (!job) return;
  world.say(`job ${job.no} has been over for long`);
  await world.engine.sql.query(`BEGIN; SET LOCAL session_replication_role = replica;
    UPDATE job_statuses SET finished_at = clock_timestamp() - interval '30 hours' WHERE id = '${job.id}'; COMMIT`);
  job.isAged = true;
  world.rowCheck.forget(job);
}

export async function take(world: World, numbers: Numbers): Promise<void> {
  const holder = holderOf(numbers);
  const wanted = control.isRetentionWanted(world.model, holder);
  expect(await world.retention.isWanted(holder, HOURS)).toBe(wanted);
  const taken = control.takeDuty(world.model, holder);
  world.say(`${holder} takes the duty of the retention: ${taken}`);
  expect(await world.retention.take(holder, DUTY_MS)).toBe(taken);
}

export async function passDuty(world: World): Promise<void> {
  if (!world.model.duty) return;
  world.say('nothing is heard of who has the duty');
  await world.engine.sql.query(
    "UPDATE duties SET lease_expires_at = clock_timestamp() - interval '1 second'",
  );
  world.model.duty.isExpired = true;
}

export async function expire(world: World, numbers: Numbers): Promise<void> {
  const holder = holderOf(numbers);
  const jobs = control.expire(world.model, holder);
  world.say(`${holder} removes ${jobs} expired job(s)`);
  expect(await world.retention.expire(holder, DUTY_MS, HOURS)).toEqual({ jobs, isLate: jobs > 0 });
}

export async function purge(world: World, numbers: Numbers): Promise<void> {
  const holder = holderOf(numbers);
  const more = await world.retention.purge(holder, DUTY_MS);
  const { rows } = await world.engine.sql.query<{ id: string }>('SELECT id::text FROM task_chunks');
  const left = new Set(rows.map((row) => row.id));
  const mustBe = control.purge(world.model, holder, (_, chunk) => left.has(chunk.id!));
  world.say(`${holder} purges: ${mustBe}`);
  expect(more).toBe(mustBe);
}
