import { Injectable, Logger } from '@nestjs/common';
import type { ChunkExecutor } from './chunk.executor.js';
import type { Lease } from './lease.sql.js';
import { HeartbeatStore, type WorkerSelf } from './heartbeat.store.js';
import { messageOf } from '../errors.js';
import { Outage } from '../outage.js';
import { isDatabaseAway } from '../sql-errors.js';

/** How often the state of the held leases and their jobs is read: a kill reaches its handlers within this. */
const WATCH_MS = 400;

/** How often the worker says that it is alive. */
const ANNOUNCE_MS = 5_000;

interface Held {
  readonly executor: ChunkExecutor;
  readonly lease: Lease;
}

/** Extends the leases of this process and tells the executors when one is lost or its job has ended. */
@Injectable()
export class Heartbeat {
  #executors: ReadonlySet<ChunkExecutor> = new Set();
  #leaseMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #isBusy = false;
  #extendedAtMs = 0;
  #announcedAtMs = -Infinity;
  #beatenAtMs = -Infinity;
  #self: WorkerSelf | null = null;
  readonly #log = new Logger('Heartbeat');
  readonly #outage = new Outage(this.#log, 'no heartbeat');

  constructor(private readonly store: HeartbeatStore) {}

  async start(self: WorkerSelf, executors: ReadonlySet<ChunkExecutor>, leaseMs: number): Promise<void> {
    this.#self = self;
    // A database that is read-only for now is no reason not to start: the first beat that passes makes up for it.
    await this.#announce().catch((error: unknown) => this.#tell(error));
    this.#executors = executors;
    this.#leaseMs = leaseMs;
    this.#extendedAtMs = performance.now();
    this.#timer = setInterval(() => void this.#beat(), Math.min(WATCH_MS, leaseMs / 5));
  }

  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    if (!this.#self) return;
    await this.store.leave(this.#self.name).catch((error: unknown) => this.#tell(error));
  }

  /** Whether it has got through within the length of a lease. */
  get isWell(): boolean {
    return performance.now() - this.#beatenAtMs < Math.max(this.#leaseMs, 2 * ANNOUNCE_MS);
  }

  /** Somebody has ended or paused a job: looks at once. */
  beat(): void {
    void this.#beat();
  }

  async #announce(): Promise<void> {
    const nowMs = performance.now();
    if (!this.#self || nowMs - this.#announcedAtMs < ANNOUNCE_MS) return;
    await this.store.announce(this.#self);
    this.#outage.over();
    this.#announcedAtMs = nowMs;
    this.#beatenAtMs = nowMs;
  }

  #tell(error: unknown): void {
    if (isDatabaseAway(error)) this.#outage.met(error);
    else this.#log.error(`no heartbeat: ${messageOf(error)}`);
  }

  async #beat(): Promise<void> {
    if (this.#isBusy) return;
    const held = this.#held();
    const nowMs = performance.now();
    if (held.length === 0) this.#extendedAtMs = nowMs;
    this.#isBusy = true;
    try {
      await this.#announce();
      if (held.length === 0) return;
      if (nowMs - this.#extendedAtMs >= this.#leaseMs / 3) {
        await this.store.extend(
          held.map(({ lease }) => lease),
          this.#leaseMs,
        );
        this.#extendedAtMs = nowMs;
      }
      await this.#watch(held);
    } catch (error) {
      this.#tell(error);
      this.#loseOld();
    } finally {
      this.#isBusy = false;
    }
  }

  #held(): Held[] {
    return [...this.#executors].flatMap((executor) => {
      const lease = executor.ref;
      return lease ? [{ executor, lease }] : [];
    });
  }

  async #watch(held: readonly Held[]): Promise<void> {
    const states = await this.store.watch(held.map(({ lease }) => lease));
    const byLease = new Map(states.map((state) => [state.leaseId, state]));
    for (const { executor, lease } of held) {
      const state = byLease.get(lease.leaseId);
      if (state) executor.learn(lease, state);
    }
  }

  /** After the length of a lease without a heartbeat the chunks may be others': what runs would only run twice. */
  #loseOld(): void {
    if (performance.now() - this.#extendedAtMs < this.#leaseMs) return;
    for (const executor of this.#executors) executor.lose();
  }
}
