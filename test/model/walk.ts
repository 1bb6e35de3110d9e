import fc from 'fast-check';
import * as jobs from './job-steps.js';
import { poll } from './read-steps.js';
import * as retention from './retention-steps.js';
import { againStep, finishStep, flushStep, lateStep, laneStep, sliceStep } from './write-steps.js';
import { pick, World, type Ground, type Numbers } from './world.js';

/** A walk: who takes part, and what happens one after the other. */

type Step = (world: World, numbers: Numbers) => Promise<void>;

/** What may happen, and how often beside the rest. */
const STEPS: Record<string, readonly [number, Step]> = {
  claim: [10, async (world, numbers) => pick(world.workers, numbers.a)!.claim(numbers)],
  flush: [8, flushStep],
  finish: [6, finishStep],
  slice: [2, sliceStep],
  lane: [6, laneStep],
  again: [1, againStep],
  late: [3, lateStep],
  beat: [2, async (world, numbers) => pick(world.workers, numbers.a)!.beat(numbers)],
  crash: [2, crash],
  die: [4, die],
  survive: [2, survive],
  pardon: [1, jobs.sweeps.pardon],
  passLease: [3, jobs.passLease],
  rescue: [3, jobs.sweeps.rescue],
  passWait: [2, jobs.passWait],
  promote: [2, jobs.sweeps.promote],
  submit: [2, jobs.submit],
  kill: [1, jobs.kill],
  pause: [1, jobs.pause],
  resume: [1, jobs.resume],
  park: [2, jobs.sweeps.park],
  unpark: [1, jobs.sweeps.unpark],
  retry: [2, jobs.retry],
  passDeadline: [1, jobs.passDeadline],
  overdue: [1, jobs.sweeps.overdue],
  remove: [1, jobs.remove],
  age: [1, retention.age],
  take: [1, retention.take],
  passDuty: [1, retention.passDuty],
  expire: [1, retention.expire],
  purge: [2, retention.purge],
  poll: [2, poll],
};

async function crash(world: World, { a }: Numbers): Promise<void> {
  const busy = world.workers.filter((worker) => worker.hands.length > 0);
  await Promise.resolve(pick(busy, a)?.crash());
}

/** A worker is lost with what it ran, and the next worker hears of that: one step of the many that a poisoned task takes. */
async function die(world: World, { a }: Numbers): Promise<void> {
  const worker = pick(
    world.workers.filter((one) => one.hands.length > 0),
    a,
  );
  if (!worker) return;
  const leases = worker.hands.map((hand) => hand.work.ref.leaseId);
  worker.crash();
  await jobs.expireLeases(world, leases);
  await jobs.sweeps.rescue(world);
}

async function survive(world: World): Promise<void> {
  for (const worker of world.workers) if (await worker.survive()) return;
}

/** Steps that some walks go without: the rest then gets further than it would if a kill might come any moment. */
const RARE = [
  'kill',
  'pause',
  'passDeadline',
  'crash',
  'die',
  'finish',
  'lane',
  'remove',
  'age',
  'rescue',
  'slice',
];

const number = fc.nat({ max: 9_999 });

export interface WalkPlan {
  readonly workers: number;
  readonly accountLimit: number | null;
  readonly without: readonly string[];
  readonly steps: readonly (Numbers & { readonly roll: number })[];
}

/** @param most steps; walks have half as many on average, and what fails shrinks to few */
export const walkPlan = (most: number): fc.Arbitrary<WalkPlan> =>
  fc.noBias(
    fc.record({
      workers: fc.integer({ min: 2, max: 4 }),
      accountLimit: fc.constantFrom(null, null, 6),
      without: fc.subarray(RARE, { maxLength: 6 }),
      steps: fc.array(fc.record({ roll: number, a: number, b: number, c: number }), {
        maxLength: most,
        size: 'max',
      }),
    }),
  );

/** Takes the steps, and compares everything after each. @throws what differed, with all that had happened */
export async function takeWalk(ground: Ground, plan: WalkPlan, taken: Map<string, number>): Promise<void> {
  const world = new World(ground, plan);
  const table = Object.entries(STEPS).flatMap(([name, [weight, step]]) =>
    plan.without.includes(name) ? [] : Array.from({ length: weight }, () => ({ name, step })),
  );
  try {
    await world.begin();
    // A job of large chunks and one of small ones, so that every walk has something to do from its first step.
    for (const [a, b, c] of [
      [0, 23, 9],
      [1, 4, 1],
    ] as const) {
      await jobs.submit(world, { a, b, c });
      await world.check();
    }
    for (const { roll, ...numbers } of plan.steps) {
      const { name, step } = pick(table, roll)!;
      const said = world.log.length;
      await step(world, numbers);
      if (world.log.length > said) taken.set(name, (taken.get(name) ?? 0) + 1);
      if (world.log.length > said) await world.check();
    }
  } catch (error) {
    const story = world.log.map((line, at) => `${String(at + 1).padStart(4)}. ${line}`).join('\n');
    if (error instanceof Error) error.message += `\n\nWhat had happened:\n${story}`;
    throw error;
  }
}
