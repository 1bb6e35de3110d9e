import { expect } from '@jest/globals';
import type { Lease } from '../../src/workers/lease.sql.js';
import { positionsOf } from '../support/engine.js';
import {
  claimable,
  hasSuspects,
  isolate,
  lease as leaseChunk,
  nextSuspect,
  extend,
  survive,
} from './chunks.js';
import { Hand } from './hand.js';
import type { Chunk, Job } from './model.js';
import { expectRecorded, LEASE_MS, pick, type Numbers, type World } from './world.js';

/** Tasks of a chunk that a simulated worker runs at once. */
export const AT_ONCE = 4;

/** A worker without a process: it claims, holds chunks, hears what has become of them, and dies. */
export class SimWorker {
  hands: Hand[] = [];
  /** Hands whose chunk ran alone and was lost: the database is to hear that the process lives. */
  survivors: Hand[] = [];

  constructor(
    private readonly world: World,
    readonly name: string,
  ) {}

  hand(number: number): Hand | undefined {
    return pick(this.hands, number);
  }

  drop(hand: Hand): void {
    this.hands = this.hands.filter((other) => other !== hand);
  }

  /** What a worker does with a chunk whose lease it has found lost. */
  lose(hand: Hand): void {
    this.drop(hand);
    if (hand.isAlone) this.survivors.push(hand);
  }

  /** Claims as the engine's workers do: what must run alone, only when nothing else is to follow until it is done. */
  async claim({ b, c }: Numbers): Promise<void> {
    if (!this.isFree) return;
    if (hasSuspects(this.world.model) && c % 4 > 0) await this.#claimSuspect();
    else await this.#claimChunks(1 + (b % 20), 1 + (c % 4));
  }

  /** Whether it may begin with a job that is being submitted. */
  get isFree(): boolean {
    return !this.hands.some((hand) => hand.isLone);
  }

  /** Holds a chunk that was inserted with its lease. */
  begin(lease: Lease, job: Job, chunk: Chunk): Promise<void> {
    return this.#take(lease, job, chunk, lease.slots, false);
  }

  async #claimSuspect(): Promise<void> {
    const { engine, model } = this.world;
    const alone = this.hands.length === 0;
    const lease = await engine.suspects.claim({
      worker: this.name,
      types: [{ type: 'test.task', limit: null }],
      accountLimit: model.limits.accountLimit,
      leaseMs: LEASE_MS,
    });
    const next = nextSuspect(model);
    this.world.say(`${this.name} claims a suspect of one task${alone ? ', alone' : ''}`);
    expect(lease && { job: lease.jobId, positions: positionsOf(lease) }).toEqual(
      next && { job: next.job.id, positions: next.chunk.positions },
    );
    if (!lease || !next) return;
    if (alone) await engine.suspects.isolate(lease);
    await this.#take({ ...lease, alone }, next.job, next.chunk, 1, alone);
  }

  async #claimChunks(places: number, chunks: number): Promise<void> {
    const { engine, model } = this.world;
    const suspects = hasSuspects(model);
    const claim = await engine.look({
      worker: this.name,
      types: [
        { type: 'test.task', taskPlaces: 1, isWhole: false, takesLane: false, atOnce: AT_ONCE, limit: null },
      ],
      places,
      chunks,
      leaseMs: LEASE_MS,
      accountLimit: model.limits.accountLimit,
    });
    this.world.say(`${this.name} claims ${claim.leases.length} chunk(s) for ${places} places`);
    expect(claim).toMatchObject({ suspects, contended: false });
    const free = [0, 1].map((account) => claimable(model, account));
    const left = [0, 1].map((account) => model.left(account));
    let taken = 0;
    for (const lease of claim.leases) {
      // Nothing is taken once the places are full, or past a limit; and within an account nothing out of its order.
      expect(taken).toBeLessThan(places);
      const account = model.jobs.find(({ id }) => id === lease.jobId)!.account;
      expect(left[account]).toBeGreaterThan(0);
      const next = free[account]!.shift();
      expect({ job: lease.jobId, first: positionsOf(lease)[0] }).toEqual({
        job: next?.job.id,
        first: next?.chunk.positions[0],
      });
      if (!next) continue;
      const need = Math.min(AT_ONCE, next.chunk.positions.length);
      const slots = Math.min(need, left[account]!);
      left[account]! -= need;
      taken += slots < need ? slots : next.chunk.positions.length;
      await this.#take(lease, next.job, next.chunk, slots, false);
    }
    // Nor is anything left that could have been taken; a limit may cut a claim short, but not to nothing.
    const isShort = taken < places && claim.leases.length < chunks;
    const couldMore = free.some((chunksLeft, account) => chunksLeft.length > 0 && left[account]! > 0);
    const isLimited = model.limits.accountLimit !== null;
    expect(isShort && couldMore && (!isLimited || claim.leases.length === 0)).toBe(false);
  }

  /** The lease must say what the model knows of the chunk. */
  async #take(lease: Lease, job: Job, chunk: Chunk, slots: number, alone: boolean): Promise<void> {
    const { world } = this;
    const { accountId } = world.ground.callers[job.account]!;
    expect({
      ...lease,
      positions: positionsOf(lease),
      tasks: JSON.parse(lease.tasks) as unknown,
    }).toMatchObject({
      accountId,
      alone,
      attempt: chunk.attempt,
      chunkId: BigInt(chunk.id!),
      crashes: chunk.crashes,
      firstPosition: chunk.positions[0],
      jobId: job.id,
      leaseId: lease.leaseId,
      maxAttempts: job.maxAttempts,
      ordered: job.ordered,
      positions: chunk.positions,
      recorded: chunk.recorded,
      size: chunk.positions.length,
      slots,
      started: job.isStarted,
      survived: chunk.survived,
      suspect: chunk.suspect,
      taskTimeoutSeconds: 30,
      tasks: chunk.positions.map((position) => JSON.parse(job.tasks[position]!) as unknown),
      type: 'test.task',
    });
    leaseChunk(
      chunk,
      { leaseId: lease.leaseId, worker: this.name, slots, endsAfterMs: world.leaseEndMs },
      alone,
    );
    const recorded =
      lease.recorded > 0 ? await world.engine.chunks.recordedPositions(lease) : new Set<number>();
    expect([...recorded].sort((a, b) => a - b)).toEqual(chunk.positions.filter((at) => job.results.has(at)));
    world.leases.push(lease);
    this.hands.push(new Hand(lease, job.tasks, world.engine.chunks, LEASE_MS, recorded));
  }

  /** Notes that a suspect of one task runs with nothing else in the process; a few run beside a handler that went astray. */
  async isolate(hand: Hand, isAstray: boolean): Promise<void> {
    hand.isCleared = true;
    hand.isAlone = hand.lease.alone;
    if (hand.lease.alone || isAstray) return;
    const mustBe = isolate(this.world.model, hand.work.ref);
    this.world.say(`${this.name} runs a suspect alone: ${mustBe}`);
    await expectRecorded(this.world.engine.suspects.isolate(hand.work.ref), mustBe);
    if (mustBe === 'recorded') hand.isAlone = true;
    else this.drop(hand);
  }

  /** Extends its leases, and hears what has become of them and of their jobs. */
  async beat({ c }: Numbers): Promise<void> {
    const { engine, model } = this.world;
    const hands = [...this.hands];
    const refs = hands.map((hand) => hand.work.ref);
    this.world.say(`${this.name} extends and watches ${refs.length} lease(s)`);
    extend(model, refs, this.world.leaseEndMs);
    await engine.heartbeat.extend(refs, LEASE_MS);
    if (c % 2 === 0) return;
    const states = await engine.heartbeat.watch(refs);
    const mustBe = refs.map((ref) => {
      const job = model.kept.find(({ id }) => id === ref.jobId);
      const status = job?.status ?? null;
      return { leaseId: ref.leaseId, held: model.heldBy(ref) !== null, status, paused: job?.paused ?? null };
    });
    const byLease = (a: { leaseId: string }, b: { leaseId: string }) => a.leaseId.localeCompare(b.leaseId);
    expect([...states].sort(byLease)).toEqual([...mustBe].sort(byLease));
    for (const [at, hand] of hands.entries()) {
      if (mustBe[at]!.status !== 'working') this.drop(hand);
      else if (!mustBe[at]!.held) this.lose(hand);
    }
  }

  /** Says that it lives, though it has lost what ran alone. @returns whether there was anything to say */
  async survive(): Promise<boolean> {
    const hand = this.survivors.shift();
    if (!hand) return false;
    this.world.say(`${this.name} says that it has survived`);
    survive(this.world.model, hand.work.ref);
    await this.world.engine.suspects.survive(hand.work.ref);
    return true;
  }

  /** Its process is gone, without a word. */
  crash(): void {
    this.world.say(`${this.name} crashes with ${this.hands.length} chunk(s)`);
    this.hands = [];
    this.survivors = [];
  }
}
