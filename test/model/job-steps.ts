import { expect } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { EagerStart, Submission } from '../../src/jobs/eager-starts.js';
import { firstLease } from '../../src/workers/lease.sql.js';
import { newJobId } from '../../src/jobs/job.js';
import { jobOptions } from '../../src/jobs/job.schemas.js';
import { claimable, pardon, promote, rescue } from './chunks.js';
import * as control from './control.js';
import { newChunk, pieces, type Job } from './model.js';
import { AT_ONCE, type SimWorker } from './worker.js';
import { LEASE_MS, outcomeOf, pick, type Numbers, type World } from './world.js';

/** What clients and the sweeper do to jobs. */

export async function submit(world: World, { a, b, c }: Numbers): Promise<void> {
  const { model, engine } = world;
  const account = a % 2;
  const { accountId, userId } = world.caller(account);
  const total = 1 + (b % 24);
  const tasks = Array.from({ length: total }, (_, n) => JSON.stringify({ n }));
  const plan = {
    account,
    ordered: c % 5 === 0,
    priority: c % 2,
    maxAttempts: 1 + (b % 3),
    maxFailures: c % 4 === 0 ? b % 4 : null,
  };
  const startsLater = c % 7 === 0;
  const hasDeadline = c % 3 === 0;
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
  const sizes = pieces([...tasks.keys()], 1 + (c % 10));
  const id = newJobId();
  const job = {
    id,
    accountId,
    createdBy: userId,
    type: 'test.task',
    options: jobOptions.parse({
      priority: plan.priority,
      max_attempts: plan.maxAttempts,
      max_failures: plan.maxFailures,
      start_at: startsLater ? inAnHour : null,
      deadline: hasDeadline ? inAnHour : null,
    }),
    total,
    ordered: plan.ordered,
    maxWorkingJobs: model.limits.maxWorkingJobs,
    key: null,
    chunks: sizes.map((positions) => ({
      firstPosition: positions[0]!,
      size: positions.length,
      tasks: `[${positions.map((position) => tasks[position]).join()}]`,
    })),
  };
  const worker = pick(world.workers, b)!;
  const isEager =
    c % 2 === 0 &&
    worker.isFree &&
    !startsLater &&
    !(plan.ordered && sizes.length > 1) &&
    model.limits.accountLimit === null;
  const start = isEager ? eagerStart(worker, job) : null;
  const outcome = await engine.jobs.submit(job, start);
  const working = model.working(account).map((job) => job.id);
  if (working.length >= model.limits.maxWorkingJobs) {
    world.say('a client submits one job too many');
    expect(outcome).toEqual({ working });
    expect(start?.leased.size ?? 0).toBe(0);
    return;
  }
  expect(outcome).toBe('made');
  const chunks = sizes.map((positions) => newChunk(positions, { state: startsLater ? 'waiting' : 'ready' }));
  const deadline = hasDeadline ? 'to come' : 'none';
  const waiting = [0, 1].flatMap((either) => claimable(model, either));
  const added = model.add({ ...plan, id, tasks, retryOf: null, deadline, chunks });
  world.say(
    `a client submits job ${added.no} of ${total} tasks in ${chunks.length} chunks, ${JSON.stringify(plan)}`,
  );
  if (!start || start.leased.size === 0) return;
  world.say(`${worker.name} begins with it at once`);
  // All of it, and only where nothing waits that somebody could claim.
  expect(start.leased.size).toBe(chunks.length);
  expect(waiting).toEqual([]);
  for (const [n, chunk] of chunks.entries()) {
    const leaseId = start.leaseIds[n]!;
    const chunkId = start.leased.get(leaseId)!;
    chunk.id = String(chunkId);
    const lease = firstLease(job, job.chunks[n]!, chunkId, leaseId, start.slots[n]!);
    await worker.begin(lease, added, chunk);
  }
}

function eagerStart(
  worker: SimWorker,
  job: Submission,
): EagerStart & { readonly leased: Map<string, bigint> } {
  const leased = new Map<string, bigint>();
  return {
    worker: worker.name,
    leaseMs: LEASE_MS,
    types: ['test.task'],
    leaseIds: job.chunks.map(() => randomUUID()),
    slots: job.chunks.map(({ size }) => Math.min(AT_ONCE, size)),
    leased,
    settle: (those) => {
      for (const [leaseId, chunkId] of those) leased.set(leaseId, chunkId);
    },
  };
}

/** Something that the submitter of a job does to it, or now and then somebody of the other account. */
async function act(
  world: World,
  numbers: Numbers,
  what: 'kill' | 'pause' | 'resume' | 'remove',
  mustBe: (job: Job) => control.Controlled,
): Promise<void> {
  const job = pick(world.model.jobs, numbers.a);
  if (!job) return;
  const isStranger = numbers.b % 10 === 0;
  const caller = world.caller(isStranger ? 1 - job.account : job.account);
  const outcome = isStranger ? 'RecordNotFound' : mustBe(job);
  world.say(`${isStranger ? 'a stranger' : 'a client'}: ${what} job ${job.no}: ${outcome}`);
  expect(await outcomeOf(world.control[what](caller, job.id))).toBe(outcome);
}

export const kill = (world: World, numbers: Numbers) => act(world, numbers, 'kill', control.kill);
export const pause = (world: World, numbers: Numbers) =>
  act(world, numbers, 'pause', (job) => control.pause(job, true));
export const resume = (world: World, numbers: Numbers) =>
  act(world, numbers, 'resume', (job) => control.pause(job, false));
export const remove = (world: World, numbers: Numbers) => act(world, numbers, 'remove', control.remove);

export async function retry(world: World, { a }: Numbers): Promise<void> {
  const job = pick(
    world.model.jobs.filter((one) => one.status !== 'working'),
    a,
  );
  if (!job) return;
  let made = '';
  const call = world.control.retry(world.caller(job.account), job.id).then((id) => (made = id));
  const outcome = await outcomeOf(call);
  const before = world.model.jobs.length;
  const mustBe = control.retry(world.model, job, made);
  world.say(`a client: retry job ${job.no}: ${typeof mustBe === 'string' ? mustBe : `job ${mustBe.job.no}`}`);
  expect(outcome).toBe(typeof mustBe === 'string' ? mustBe : 'done');
  if (typeof mustBe === 'string') return;
  expect(made).toBe(mustBe.job.id);
  if (world.model.jobs.length > before) expect(made).toMatch(/^[0-9a-f-]{36}$/);
}

/** The deadline of a job comes: it and the creation are moved back. */
export async function passDeadline(world: World, { a }: Numbers): Promise<void> {
  const job = world.job(a, (one) => one.status === 'working' && one.deadline === 'to come');
  if (!job) return;
  world.say(`the deadline of job ${job.no} passes`);
  await world.engine.sql.query(
    `UPDATE job_statuses SET created_at = created_at - interval '2 hours', deadline = clock_timestamp() - interval '1 hour'
      WHERE id = $1`,
    [job.id],
  );
  job.deadline = 'passed';
}

/** The time of waiting chunks of a job comes. */
export async function passWait(world: World, { a }: Numbers): Promise<void> {
  const waiting = world.model.jobs.filter((one) => one.chunks.some((chunk) => chunk.state === 'waiting'));
  const job = pick(waiting, a);
  if (!job) return;
  world.say(`what waits of job ${job.no} has waited long enough`);
  await world.engine.sql.query(
    `UPDATE task_chunks SET visible_at = clock_timestamp() - interval '1 second' WHERE job_id = $1 AND state = 'waiting'`,
    [job.id],
  );
  for (const chunk of job.chunks) if (chunk.state === 'waiting') chunk.isDue = true;
}

/** Nothing is heard of the holder of a chunk for the length of a lease. */
export async function passLease(world: World, { a }: Numbers): Promise<void> {
  const leased = world.model.chunks.filter(({ chunk }) => chunk.held && !chunk.held.isExpired);
  const one = pick(leased, a);
  if (!one) return;
  world.say(`the lease of positions ${one.chunk.positions.join(' ')} of job ${one.job.no} runs out`);
  await expireLeases(world, [one.chunk.held!.leaseId]);
}

export async function expireLeases(world: World, leaseIds: readonly string[]): Promise<void> {
  await world.engine.sql.query(
    `UPDATE task_chunks SET lease_expires_at = clock_timestamp() - interval '1 second' WHERE lease_id = ANY($1::uuid[])`,
    [leaseIds],
  );
  for (const { chunk } of world.model.chunks)
    if (chunk.held && leaseIds.includes(chunk.held.leaseId)) chunk.held.isExpired = true;
}

/** The parts of a sweep, each of which may be the one after which a sweeper dies. */
export const sweeps = {
  overdue: async (world: World) => {
    const overdue = control.failOverdue(world.model).map((job) => job.id);
    world.say(`a sweeper ends ${overdue.length} job(s) whose deadline has passed`);
    expect((await world.engine.control.failOverdue()).sort()).toEqual(overdue.sort());
  },
  rescue: async (world: World) => {
    const rescued = rescue(world.model);
    world.say(`a sweeper rescues ${rescued} chunk(s)`);
    expect(await world.engine.chunks.rescue()).toBe(rescued);
  },
  /** As after a task that was blamed and has ended well. */
  pardon: async (world: World) => {
    if (world.model.chunks.every(({ chunk }) => chunk.crashes === chunk.survived)) return;
    world.say('all blame is taken back');
    pardon(world.model);
    await world.engine.suspects.pardon();
  },
  promote: async (world: World) => {
    const promoted = promote(world.model);
    world.say(`a sweeper promotes ${promoted} chunk(s)`);
    expect(await world.engine.chunks.promote()).toBe(promoted);
  },
  park: async (world: World, { a, b }: Numbers) => {
    const one = b % 3 === 0 ? pick(world.model.jobs, a) : undefined;
    const parked = control.park(one ? [one] : world.model.jobs, one !== undefined);
    world.say(`a sweeper parks ${parked} chunk(s)`);
    expect(await world.engine.control.park(one?.id)).toBe(parked);
  },
  unpark: async (world: World) => {
    const unparked = control.unpark(world.model.jobs);
    world.say(`a sweeper unparks ${unparked} chunk(s)`);
    expect(await world.engine.control.unpark()).toBe(unparked);
  },
};
