import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Outages } from './outages.js';
import { LEASE_SECONDS } from './schedule.js';
import type { Verdict } from './verdict.js';

const LOOK_MS = 40;
/** What the service promises beyond the lease, and how far our own looks lie apart on a busy machine. */
const PROMISE_MS = LEASE_SECONDS * 1_000 + 1_000;
const HAND_BACK_MS = 1_000;
const SLACK_MS = 150;
const GIVE_UP_MS = 60_000;

interface Leased {
  readonly key: string;
  readonly jobId: string;
  readonly chunkId: string;
  readonly worker: string;
  readonly leaseId: string;
  readonly type: string;
  readonly pending: number;
}

interface Orphan {
  readonly leased: Leased;
  readonly diedAt: number;
  isTakenBack: boolean;
}

interface Leaver {
  readonly pid: number;
  readonly at: number;
}

interface Chunk extends Omit<Leased, 'worker' | 'leaseId'> {
  readonly worker: string | null;
  readonly leaseId: string | null;
  readonly state: string;
}

/** Follows the leases of workers that died or were told to stop: how soon their tasks are in other hands. */
export class Leases {
  readonly #dead = new Map<number, number>();
  readonly #orphans = new Map<string, Orphan>();
  readonly #leavers = new Map<number, Leaver>();

  /**
   * @param database times in which the database was disturbed
   * @param blocked times in which nobody could take anything: Postgres was down, or no worker able to work
   * @param places tasks that a worker runs at once
   */
  constructor(
    private readonly sql: pg.Pool,
    private readonly verdict: Verdict,
    private readonly database: Outages,
    private readonly blocked: Outages,
    private readonly places: number,
  ) {}

  died(pid: number, at: number): void {
    this.#leavers.delete(pid);
    this.#dead.set(pid, at);
  }

  leaves(pid: number, at: number): void {
    this.#leavers.set(pid, { pid, at });
  }

  async watch(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      if (this.#dead.size + this.#orphans.size + this.#leavers.size > 0) await this.#look();
      await sleep(LOOK_MS);
    }
  }

  async #look(): Promise<void> {
    const askedAt = Date.now();
    let chunks: Chunk[];
    try {
      const { rows } = await this.sql.query<Chunk>(
        `SELECT c.job_id::text AS "jobId", c.id::text AS "chunkId", c.job_id || ' ' || c.id AS key, c.worker, c.state,
                c.lease_id::text AS "leaseId", c.type, c.size - c.recorded AS pending
           FROM task_chunks c JOIN job_statuses j ON j.id = c.job_id
          WHERE j.status = 'working' AND NOT j.paused`,
      );
      chunks = rows;
    } catch {
      return;
    }
    const now = Date.now();
    this.#adopt(chunks);
    this.#follow(new Map(chunks.map((chunk) => [chunk.key, chunk])), now);
    this.#seeOff(chunks, askedAt, now);
    // A claim that was on its way when the worker died commits within moments.
    for (const [pid, at] of this.#dead) if (now - at > PROMISE_MS) this.#dead.delete(pid);
  }

  /** Leases of the dead become orphans. */
  #adopt(chunks: readonly Chunk[]): void {
    for (const chunk of chunks) {
      const { worker, leaseId } = chunk;
      if (worker === null || leaseId === null || this.#orphans.has(leaseId)) continue;
      const diedAt = this.#dead.get(pidOf(worker));
      if (diedAt === undefined) continue;
      this.#orphans.set(leaseId, { leased: { ...chunk, worker, leaseId }, diedAt, isTakenBack: false });
    }
  }

  #follow(chunks: ReadonlyMap<string, Chunk>, now: number): void {
    for (const [leaseId, orphan] of this.#orphans) {
      const chunk = chunks.get(orphan.leased.key);
      const ms = now - orphan.diedAt - this.blocked.within(orphan.diedAt, now);
      const isHeld = chunk?.leaseId === leaseId;
      if (!isHeld && !orphan.isTakenBack) {
        orphan.isTakenBack = true;
        this.#judge(orphan, ms, 'from the death of a worker until its tasks are taken back');
      }
      if ((!isHeld && chunk?.state !== 'ready') || ms > GIVE_UP_MS) {
        this.#judge(orphan, ms, 'from the death of a worker until its tasks begin again');
        this.#orphans.delete(leaseId);
      }
    }
  }

  #judge({ leased, diedAt }: Orphan, ms: number, what: string): void {
    this.verdict.measure(what, ms);
    if (ms <= PROMISE_MS + SLACK_MS) return;
    const where = `chunk ${leased.chunkId} of job ${leased.jobId} (${leased.type}) of ${leased.worker}`;
    this.verdict.violation(
      `no more than ${PROMISE_MS} ms ${what}`,
      `${where}: ${ms} ms, died at ${new Date(diedAt).toISOString()}`,
    );
  }

  /**
   * One that was told to stop keeps what runs, at most as many tasks as it has places. Tasks of tickets run as batches, which
   * begin and end as one, so they say nothing here.
   */
  #seeOff(chunks: readonly Chunk[], askedAt: number, now: number): void {
    for (const { pid, at } of this.#leavers.values()) {
      const held = chunks
        .filter(({ worker, type }) => worker !== null && pidOf(worker) === pid && type.startsWith('demo.'))
        .reduce((sum, { pending }) => sum + pending, 0);
      const lateMs = askedAt - at - this.database.within(at, now, 1_000);
      if (held > this.places && lateMs < GIVE_UP_MS) {
        if (lateMs > HAND_BACK_MS + SLACK_MS)
          this.verdict.violation(
            `no more than ${HAND_BACK_MS} ms from SIGTERM until what has not begun is handed back`,
            `process ${pid} holds ${held} tasks after ${lateMs} ms`,
          );
        continue;
      }
      this.verdict.measure('from SIGTERM until what has not begun is handed back', Math.max(0, lateMs));
      this.#leavers.delete(pid);
    }
  }
}

/** A worker is named host:pid:random. */
const pidOf = (worker: string): number => Number(worker.split(':').at(-2));
