import { expect } from '@jest/globals';
import { failed } from '../../src/jobs/task-handler.js';
import type { LaneEnd } from '../../src/workers/chunk.store.js';
import type { RecordedResults } from '../../src/workers/record.sql.js';
import { Settlement } from '../../src/workers/settlement.js';
import { partsOf } from '../../src/workers/suspicion.js';
import { recorded, successor } from '../support/engine.js';
import { finish, flush, split, type Next, type Recorded, type Records } from './chunks.js';
import type { Hand } from './hand.js';
import type { Ref, Result } from './model.js';
import type { SimWorker } from './worker.js';
import { expectRecorded, LEASE_MS, outcomeOf, pick, type Numbers, type World } from './world.js';

/** What a worker writes on behalf of its leases, in time or late. */

const NOTHING: Records = { results: new Map(), message: null };

/** What must be done before the tasks of a suspect run. @returns whether they may run now */
async function clear(world: World, worker: SimWorker, hand: Hand, { b }: Numbers): Promise<boolean> {
  if (hand.isCleared) return true;
  if (!hand.isLone) await splitSuspect(world, worker, hand);
  else if (hand.isCondemned) await condemn(world, worker, hand);
  // It waits until nothing else runs in the process.
  else if (worker.hands.length === 1) await worker.isolate(hand, b % 8 === 0);
  return false;
}

async function splitSuspect(world: World, worker: SimWorker, hand: Hand): Promise<void> {
  const next = split(hand.lease, hand.open);
  const mustBe = finish(world.model, hand.work.ref, NOTHING, next);
  world.say(`${worker.name} splits a suspect of ${hand.open.length}: ${mustBe}`);
  const [first] = partsOf(hand.open);
  const goesOn = await hand.work.split();
  expectToldOf(world, hand, mustBe);
  expect(goesOn).toBe(mustBe === 'recorded' && next[0]?.keepsLease === true);
  hand.isCleared = true;
  hand.open = first!;
  if (goesOn) world.leases.push(hand.work.ref);
  else worker.drop(hand);
}

async function condemn(world: World, worker: SimWorker, hand: Hand): Promise<void> {
  const sentence = `Its worker was lost ${hand.lease.crashes} times while it ran this task and nothing else`;
  const position = hand.open[0]!;
  const results = new Map([[position, hand.failure(position, 'WorkerCrashed', sentence)]]);
  const mustBe = finish(world.model, hand.work.ref, { results, message: null }, []);
  world.say(`${worker.name} gives up position ${position}, which was lost too often: ${mustBe}`);
  for (const task of hand.work.takeRest())
    hand.work.settlement.settle(task, failed('WorkerCrashed', sentence));
  await hand.work.finish(() => []);
  expectToldOf(world, hand, mustBe);
  worker.drop(hand);
}

/** The worker and the chunk that a step is about, when there is one whose tasks may run. */
async function running(world: World, numbers: Numbers) {
  const busy = world.workers.filter((worker) => worker.hands.length > 0);
  const worker = pick(busy, numbers.a);
  const hand = worker?.hand(numbers.b);
  if (!worker || !hand || !(await clear(world, worker, hand, numbers))) return null;
  return { worker, hand };
}

/** Now and then a handler says something. */
function message(world: World, hand: Hand, { c }: Numbers): string | null {
  if (c % 3 > 0) return null;
  const text = `Said ${world.serial()}`;
  hand.work.say(text);
  return text;
}

/** Of a refused write the worker knows why: the job is over, or else the lease is another's. */
function expectToldOf({ model }: World, { work }: Hand, mustBe: Recorded): void {
  const job = model.jobs.find(({ id }) => id === work.ref.jobId)!;
  expect(work.isLost).toBe(mustBe === 'LeaseLost' && job.status === 'working');
}

function conclude(world: World, worker: SimWorker, hand: Hand, mustBe: Recorded): void {
  expectToldOf(world, hand, mustBe);
  if (mustBe === 'LeaseLost') worker.lose(hand);
}

/** Records some of what is open; the last of it is for a finish. */
export async function flushStep(world: World, numbers: Numbers): Promise<void> {
  const at = await running(world, numbers);
  if (!at) return;
  const { worker, hand } = at;
  // Of a chunk whose last task waits for its retry, all that is open may end; else one task stays.
  const most = hand.open.length - (hand.retries.size > 0 ? 0 : 1);
  const results = hand.settle(numbers.c % (most + 1), numbers, () => world.serial());
  const records = { results, message: message(world, hand, numbers) };
  const mustBe = flush(world.model, hand.work.ref, records, world.leaseEndMs);
  world.say(`${worker.name} flushes ${[...results.keys()].join(' ')}: ${mustBe}`);
  await hand.work.flush();
  hand.noteProgress(records);
  conclude(world, worker, hand, mustBe);
}

/** Records some or all of what is open, and ends the chunk: retries, and the rest handed back. */
export async function finishStep(world: World, numbers: Numbers): Promise<void> {
  const at = await running(world, numbers);
  if (!at) return;
  const { worker, hand } = at;
  const isAll = numbers.b % 2 === 0;
  const count = isAll ? hand.open.length : numbers.c % (hand.open.length + 1);
  const results = hand.settle(count, numbers, () => world.serial());
  const records = { results, message: message(world, hand, numbers) };
  hand.noteProgress(records);
  const parts = 1 + (numbers.a % 2);
  const next = [...hand.takeNextOfRetries(), ...hand.nextOf(hand.open, parts, hand.hasProgress)];
  const mustBe = finish(world.model, hand.work.ref, records, next);
  world.say(`${worker.name} finishes with ${[...results.keys()].join(' ')}: ${mustBe}`);
  hand.work.giveBack(hand.running);
  await hand.work.finish(() => hand.work.handBack(hand.work.takeRest(), parts));
  conclude(world, worker, hand, mustBe);
  worker.drop(hand);
}

/** Gives back what has not begun; what runs stays, in a chunk of its own that keeps the lease. */
export async function sliceStep(world: World, numbers: Numbers): Promise<void> {
  const at = await running(world, numbers);
  if (!at || at.hand.open.length === 0) return;
  const { worker, hand } = at;
  const begun = hand.begin(1 + (numbers.c % hand.open.length));
  const positions = begun.map((task) => task.position);
  const parts = 1 + (numbers.a % 2);
  const rest = hand.open.filter((position) => !positions.includes(position));
  // What ran before and does not now is not given back by a slice: it runs on.
  begun.push(...hand.running.splice(0));
  const kept = begun.map((task) => task.position).sort((a, b) => a - b);
  const left = rest.filter((position) => !kept.includes(position));
  const next: Next[] = [
    ...hand.takeNextOfRetries(),
    ...hand.nextOf(kept, 1, hand.hasProgress).map((one) => ({ ...one, keepsLease: true })),
    ...hand.nextOf(left, parts, hand.hasProgress),
  ];
  const mustBe = finish(world.model, hand.work.ref, NOTHING, next);
  world.say(`${worker.name} keeps ${kept.join(' ')} and gives back ${left.join(' ')}: ${mustBe}`);
  await hand.work.finish(() => [
    ...hand.work.handBack(begun, 1).map((chunk) => ({ ...chunk, keepsLease: true as const })),
    ...hand.work.handBack(hand.work.takeRest(), parts),
  ]);
  hand.running = begun;
  hand.open = kept;
  if (mustBe === 'recorded') world.leases.push(hand.work.ref);
  conclude(world, worker, hand, mustBe);
}

/** As a flush or a finish, together with what a handler writes in its transaction. */
export async function laneStep(world: World, numbers: Numbers): Promise<void> {
  const at = await running(world, numbers);
  if (!at) return;
  const { worker, hand } = at;
  const { engine, model } = world;
  const ends = numbers.b % 2 === 0 && hand.retries.size === 0 && hand.running.length === 0;
  const settlement = new Settlement(hand.lease);
  const most = hand.open.length - (hand.retries.size > 0 ? 0 : 1);
  const count = ends ? hand.open.length : numbers.c % (most + 1);
  const results = hand.settle(count, numbers, () => world.serial(), settlement);
  const titles = [...results.keys()].map(
    (position) => `${model.jobs.find(({ id }) => id === hand.lease.jobId)?.no}:${position}`,
  );
  let endsAfterMs = 0;
  const call = hand.work.write(() =>
    engine.lanes.transaction(60_000, async (lane) => {
      for (const title of titles)
        await lane.tx
          .$executeRaw`INSERT INTO tickets (account_id, title) VALUES (${hand.lease.accountId}, ${title})`;
      endsAfterMs = LEASE_MS + (await laterThanBegun(lane.tx));
      const end: LaneEnd = ends ? { successors: settlement.takeRetries() } : { keepMs: LEASE_MS };
      await engine.chunks.recordWithCommit(lane, hand.work.ref, settlement.takeResults(), end);
    }),
  );
  const outcome = await outcomeOf(call);
  const records = { results, message: null };
  const mustBe = ends
    ? finish(model, hand.work.ref, records, hand.takeNextOfRetries())
    : flush(model, hand.work.ref, records, endsAfterMs);
  world.say(`${worker.name} ${ends ? 'ends' : 'records'} in a transaction ${titles.join(' ')}: ${mustBe}`);
  expect(outcome).toBe(mustBe === 'recorded' ? 'done' : mustBe);
  if (mustBe === 'recorded') for (const title of titles) model.written.add(title);
  if (mustBe === 'recorded' && results.size > 0) hand.work.noteProgress();
  if (!ends) hand.work.settlement.adoptRetries(settlement);
  hand.noteProgress(records);
  if (mustBe === 'LeaseLost') hand.work.stop('lost');
  if (mustBe === 'LeaseLost') worker.lose(hand);
  else if (ends) worker.drop(hand);
}

/**
 * Lets a few milliseconds go by inside the transaction, so that its now() is not the time any more.
 * @returns Postgres's clock, in milliseconds
 */
async function laterThanBegun(
  tx: Parameters<Parameters<World['engine']['lanes']['transaction']>[1]>[0]['tx'],
) {
  for (;;) {
    const [now] = await tx.$queryRaw<{ at: number; age: number }[]>`
      SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS at,
             extract(epoch FROM clock_timestamp() - now())::float8 * 1000 AS age`;
    if (now!.age >= 3) return now!.at;
  }
}

/** The connection was cut and the same record is sent again, with other words: what stands, stands. */
export async function againStep(world: World, numbers: Numbers): Promise<void> {
  const at = await running(world, numbers);
  const found = at && world.model.heldBy(at.hand.work.ref);
  if (!at || !found) return;
  const { hand } = at;
  const { job, chunk } = found;
  const again = chunk.positions.filter((position) => job.results.has(position));
  const records = fullRecord(again, world.serial());
  if (again.length > 0 && numbers.c % 2 === 0) {
    world.say(`${at.worker.name} records ${again.join(' ')} again in a transaction`);
    const call = world.engine.lanes.transaction(60_000, (lane) =>
      world.engine.chunks.recordWithCommit(lane, hand.work.ref, records.sent, { keepMs: LEASE_MS }),
    );
    await expectRecorded(call, 'LeaseLost');
    return;
  }
  const mustBe = flush(world.model, hand.work.ref, records.model, world.leaseEndMs);
  world.say(`${at.worker.name} records ${again.join(' ')} again: ${mustBe}`);
  await expectRecorded(world.engine.chunks.flush(hand.work.ref, records.sent, LEASE_MS), mustBe);
}

/** A worker that lost its lease long ago writes all it knows, in each of the ways there are. */
export async function lateStep(world: World, numbers: Numbers): Promise<void> {
  const { engine, model } = world;
  const isWritable = (ref: Ref) => {
    const found = model.heldBy(ref);
    return found !== null && !found.job.isRemoved && found.job.status === 'working';
  };
  const ref = pick(
    world.leases.filter((one) => !isWritable(one)),
    numbers.a,
  );
  if (!ref) return;
  const job = model.jobs.find(({ id }) => id === ref.jobId);
  const all = job ? [...job.tasks.keys()] : [0];
  const { sent } = fullRecord(all, world.serial());
  world.say(`a worker that has lost its lease of job ${job?.no} writes`);
  const ways = [
    () => engine.chunks.flush(ref, sent, LEASE_MS),
    () => engine.chunks.flush(ref, recorded([]), LEASE_MS),
    () => engine.chunks.finish(ref, sent, []),
    () => engine.chunks.finish(ref, recorded([]), [successor(all)]),
    () =>
      engine.lanes.transaction(60_000, (lane) =>
        engine.chunks.recordWithCommit(lane, ref, sent, { successors: [] }),
      ),
  ];
  await expectRecorded(ways[numbers.b % ways.length]!(), 'LeaseLost');
}

/** Results of all these positions, as the store takes them and as the model does. */
function fullRecord(positions: readonly number[], serial: number): { sent: RecordedResults; model: Records } {
  const [good, bad] = [positions.filter((n) => n % 2 === 0), positions.filter((n) => n % 2 === 1)];
  const sent = { ...recorded(good, bad), message: `Late ${serial}` };
  // None of them is new where this is used, so what they say is not looked at.
  const any: Result = { success: true, result: 'null', attempts: 1, error: null, task: null };
  return { sent, model: { results: new Map(positions.map((n) => [n, any])), message: sent.message } };
}
