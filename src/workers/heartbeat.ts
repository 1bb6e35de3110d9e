import { Injectable, Logger } from '@nestjs/common';
import type { ChunkExecutor } from './chunk.executor.js';
import type { Lease } from './chunk.store.js';
import { HeartbeatStore } from './heartbeat.store.js';

/** How often the state of the held leases and their jobs is read: a kill reaches its handlers within this. */
const WATCH_MS = 400;

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
  readonly #log = new Logger('Heartbeat');

  constructor(private readonly store: HeartbeatStore) {}

  start(executors: ReadonlySet<ChunkExecutor>, leaseMs: number): void {
    this.#executors = executors;
    this.#leaseMs = leaseMs;
    this.#extendedAtMs = performance.now();
    this.#timer = setInterval(() => void this.#beat(), Math.min(WATCH_MS, leaseMs / 5));
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
  }

  async #beat(): Promise<void> {
    if (this.#isBusy) return;
    const held = this.#held();
    const nowMs = performance.now();
    if (held.length === 0) {
      this.#extendedAtMs = nowMs;
      return;
    }
    this.#isBusy = true;
    try {
      if (nowMs - this.#extendedAtMs >= this.#leaseMs / 3) {
        await this.store.extend(
          held.map(({ lease }) => lease),
          this.#leaseMs,
        );
        this.#extendedAtMs = nowMs;
      }
      await this.#watch(held);
    } catch (error) {
      this.#log.warn(`no heartbeat: ${error instanceof Error ? error.message : String(error)}`);
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
      if (state) executor.learn(lease, state.held, state.status);
    }
  }

  /** After the length of a lease without a heartbeat the chunks may be others': what runs would only run twice. */
  #loseOld(): void {
    if (performance.now() - this.#extendedAtMs < this.#leaseMs) return;
    for (const executor of this.#executors) executor.lose();
  }
}
