import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Outages } from './outages.js';
import { LANES } from '../src/database/lane.service.js';
import { LEASE_SECONDS } from './schedule.js';
import type { Verdict } from './verdict.js';

const LOOK_MS = 40;
/** What the service promises beyond the lease, and how far our own looks lie apart on a busy machine. */
const PROMISE_MS = LEASE_SECONDS * 1_000 + 1_000;
const HAND_BACK_MS = 1_000;
const SLACK_MS = 150;
const GIVE_UP_MS = 60_000;
/** Until a worker finds the database again. */
const AWAY_AFTERMATH_MS = 1_000;

interface Chunk {
  readonly key: string;
  readonly jobId: string;
  readonly chunkId: string;
  readonly type: string;
  readonly state: string;
  readonly worker: string | null;
  readonly leaseId: string | null;
  readonly pending: number;
  /** Of one task: once taken back, it runs with nothing else in its process. */
  readonly isSingle: boolean;
  readonly isSuspect: boolean;
  /** Whether its job runs: nobody is to claim what is paused or over. */
  readonly runs: boolean;
}

/** A chunk whose worker has died. */
interface Orphan {
  readonly chunk: Chunk;
  readonly diedAt: number;
  /** Until it was taken back; null: it is not yet. */
  takenBackMs: number | null;
  /** Since then, while some worker had room for it. */
  passedOverMs: number;
}

interface Leaver {
  readonly pid: number;
  readonly at: number;
}

/** Follows the leases of workers that died or were told to stop: how soon their tasks are in other hands. */
export class Leases {
  readonly #dead = new Map<number, number>();
  readonly #orphans = new Map<string, Orphan>();
  readonly #leavers = new Map<number, Leaver>();

  #lookedAt = Date.now();
  #hadRoom = false;
  /** What the workers held at the last look, for the sentence of a violation. */
  #held = '';

  /**
   * @param database times in which the database was disturbed
   * @param blocked times in which nobody could take anything: Postgres was down, or no worker able to work
   * @param places tasks that a worker runs at once
   * @param ableWorkers pids of the workers that run and were not told to stop
   */
  constructor(
    private readonly sql: pg.Pool,
    private readonly verdict: Verdict,
    private readonly database: Outages,
    private readonly blocked: Outages,
    private readonly places: number,
    private readonly ableWorkers: () => readonly number[],
  ) {}

  died(pid: number, at: number): void {
    this.#leavers.delete(pid);
    this.#dead.set(pid, at);
  }

  leaves(pid: number, at: number): void {
    this.#leavers.set(pid, { pid, at });
  }

  /** It has ended. While the database was away it could hand nothing back: then its leases have to run out. */
  ended(pid: number, at: number): void {
    const leaver = this.#leavers.get(pid);
    if (leaver && this.database.touches(leaver.at, at, AWAY_AFTERMATH_MS)) this.died(pid, at);
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
        `SELECT c.job_id || ' ' || c.id AS key, c.job_id::text AS "jobId", c.id::text AS "chunkId", c.type, c.state, c.worker,
                c.lease_id::text AS "leaseId", c.size - c.recorded AS pending, c.size = 1 AS "isSingle",
                c.suspect AS "isSuspect", j.status = 'working' AND NOT j.paused AS runs
           FROM task_chunks c JOIN job_statuses j ON j.id = c.job_id WHERE c.state IN ('leased', 'ready')`,
      );
      chunks = rows;
    } catch {
      return;
    }
    const now = Date.now();
    this.#adopt(chunks);
    this.#follow(chunks, now);
    this.#seeOff(chunks, askedAt, now);
    this.#lookedAt = now;
    // A claim that was on its way when the worker died commits within moments.
    for (const [pid, at] of this.#dead) if (now - at > PROMISE_MS) this.#dead.delete(pid);
  }

  /** Leases of the dead become orphans. */
  #adopt(chunks: readonly Chunk[]): void {
    for (const chunk of chunks) {
      const { worker, leaseId } = chunk;
      if (worker === null || leaseId === null || !chunk.runs || this.#orphans.has(leaseId)) continue;
      const diedAt = this.#dead.get(pidOf(worker));
      if (diedAt === undefined) continue;
      this.#orphans.set(leaseId, { chunk, diedAt, takenBackMs: null, passedOverMs: 0 });
    }
  }

  #follow(chunks: readonly Chunk[], now: number): void {
    const byKey = new Map(chunks.map((chunk) => [chunk.key, chunk]));
    const hasRoom = !this.blocked.isNow && this.#hasRoom(chunks);
    for (const [leaseId, orphan] of this.#orphans) {
      const chunk = byKey.get(orphan.chunk.key);
      const ms = now - orphan.diedAt - this.blocked.within(orphan.diedAt, now);
      if (chunk?.leaseId === leaseId && chunk.runs && ms < GIVE_UP_MS) continue;
      if (orphan.takenBackMs === null) {
        orphan.takenBackMs = ms;
        this.#judge(orphan, ms, 'from the death of a worker until its tasks are taken back');
      } else if (hasRoom && this.#hadRoom) {
        const sinceMs = now - this.#lookedAt - this.blocked.within(this.#lookedAt, now);
        orphan.passedOverMs += sinceMs;
      }
      const waits = chunk?.state === 'ready' && chunk.runs;
      if (waits && ms < GIVE_UP_MS) continue;
      this.#orphans.delete(leaseId);
      if (waits || chunk?.runs !== false) this.#begins(orphan, orphan.takenBackMs + orphan.passedOverMs, ms);
    }
    this.#hadRoom = hasRoom;
  }

  /** Whether a worker has so little to do that it would claim whatever is ready. */
  #hasRoom(chunks: readonly Chunk[]): boolean {
    this.#held = '';
    return this.ableWorkers().some((pid) => {
      const held = chunks.filter(({ worker }) => worker !== null && pidOf(worker) === pid);
      const lanes = held.filter(({ type }) => !type.startsWith('demo.')).length;
      const tasks = held.reduce((sum, { pending }) => sum + pending, 0);
      const isSolitary = held.some(({ isSuspect, isSingle }) => isSuspect && isSingle);
      this.#held += `; ${pid} holds ${tasks} tasks, ${lanes} lanes${isSolitary ? ', alone' : ''}`;
      return lanes < LANES && tasks < this.places / 2 && !isSolitary;
    });
  }

  /**
   * Where all workers are full, a chunk waits for its turn like any other. A task that must run alone waits until a worker has
   * nothing else to do, which has no bound: it is only measured.
   */
  #begins(orphan: Orphan, ms: number, withWaitMs: number): void {
    const what = 'from the death of a worker until its tasks are claimed again';
    this.verdict.measure(`${what}, its turn awaited`, withWaitMs);
    if (orphan.chunk.isSingle) this.verdict.measure('the same of a task that must run alone', ms);
    else this.#judge(orphan, ms, what);
  }

  #judge({ chunk, diedAt }: Orphan, ms: number, what: string): void {
    this.verdict.measure(what, ms);
    if (ms <= PROMISE_MS + SLACK_MS) return;
    const where = `chunk ${chunk.chunkId} of job ${chunk.jobId} (${chunk.type}) of ${String(chunk.worker)}`;
    this.verdict.violation(
      `no more than ${PROMISE_MS} ms ${what}`,
      `${where}: ${ms} ms, died at ${new Date(diedAt).toISOString()}${this.#held}`,
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
      const lateMs = askedAt - at - this.database.within(at, now, AWAY_AFTERMATH_MS);
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
