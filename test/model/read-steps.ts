import { expect } from '@jest/globals';
import { failedOf, type Job } from './model.js';
import { pick, type Numbers, type World } from './world.js';

/** What a client is told of a job must be what the model knows of it, in one snapshot. */
export async function poll(world: World, { a, b, c }: Numbers): Promise<void> {
  const job = pick(world.model.jobs, a);
  if (!job) return;
  const isStranger = b % 10 === 0;
  const { accountId } = world.caller(isStranger ? 1 - job.account : job.account);
  const isThere = !isStranger && !job.isRemoved;
  world.say(`${isStranger ? 'a stranger' : 'a client'} reads job ${job.no}`);
  const most = 1 + (c % 30);
  const status = await world.engine.jobs.status(accountId, job.id, most);
  const whole = await world.engine.jobs.job(accountId, job.id);
  if (!isThere) {
    expect([status, whole]).toEqual([null, null]);
    return;
  }
  const inline = [...job.results].sort(([one], [other]) => one - other).slice(0, most);
  expect(status && { ...status, message: untimed(status.message) }).toEqual({
    id: job.id,
    total: job.tasks.length,
    progress: job.results.size,
    status: job.status,
    message: messageOf(job),
    version: job.version,
    lastInline: inline.at(-1)?.[0] ?? null,
    results: `[${inline.map(([, result]) => result.result).join(',')}]`,
  });
  expect(whole).toMatchObject({ failed: failedOf(job), paused: job.paused, ...counts(job) });
}

const untimed = (text: string | null): string | null =>
  text?.replace(/ at \w{3} \w{3} \d\d \d\d:\d\d:\d\d \+0000 \d{4}/, ' at T') ?? null;

/** Nobody has announced a worker here, and whoever reads a job that has not begun is told so. */
const messageOf = (job: Job): string | null =>
  job.message ??
  (job.status === 'working' && !job.isStarted ? 'Waiting: no worker that knows test.task is running' : null);

function counts(job: Job): { running: number; retrying: number } {
  let [running, retrying] = [0, 0];
  if (job.status !== 'working') return { running, retrying };
  for (const chunk of job.chunks) {
    if (chunk.held) running += chunk.positions.length - chunk.recorded;
    else if (chunk.attempt > 0) retrying += chunk.positions.length;
  }
  return { running, retrying };
}
