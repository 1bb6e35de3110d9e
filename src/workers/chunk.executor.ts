import { Logger } from '@nestjs/common';
import type { LaneService } from '../database/lane.service.js';
import { printJobId } from '../jobs/job.js';
import { failed } from '../jobs/task-handler.js';
import { isBatchHandler, type TaskType } from '../jobs/task-types.js';
import { isDatabaseAway } from '../sql-errors.js';
import { BATCH_SIZE, BatchRunner } from './batch.runner.js';
import { Call } from './call.js';
import type { ChunkStore } from './chunk.store.js';
import type { Lease } from './lease.sql.js';
import { ChunkWork } from './chunk.work.js';
import type { LeaseState } from './heartbeat.store.js';
import type { Pace } from './pace.js';
import type { Places } from './places.js';
import { SingleRunner } from './single.runner.js';
import type { SuspectStore } from './suspect.store.js';
import { blameOf, isCondemned, isLone } from './suspicion.js';
import { nextTurn } from './turns.js';

/**
 * A chunk that is not nearly done after this long gives the rest back, so that other workers and jobs get in: within a second
 * at most, tasks permitting, another account's job has its turn.
 */
const SLICE_MS = 500;
/** The rest is worth keeping when it will be done within this. */
const SLICE_REST_MS = 250;

export interface ExecutorTools {
  readonly store: ChunkStore;
  readonly suspects: SuspectStore;
  readonly lanes: LaneService;
  readonly places: Places;
  readonly pace: Pace;
  readonly leaseMs: number;
  /** Called when the places that this chunk needs have become fewer. */
  readonly onChange: () => void;
  /** Whether this process holds no other chunk. */
  readonly isAlone: (chunk: ChunkExecutor) => boolean;
}

const REPORT_PAUSE_MS = 200;

/** Tasks of a chunk that a process with so many places runs at once. */
export function tasksAtOnce(type: TaskType, places: number): number {
  if (isBatchHandler(type.handler)) return type.batchSize ?? BATCH_SIZE;
  return type.transaction === true ? 1 : places;
}

/** Whether one call of the type's handler runs many tasks, so that a chunk takes one place. */
export const takesOnePlace = (type: TaskType): boolean =>
  isBatchHandler(type.handler) || type.transaction === true;

const log = new Logger('Worker');

/** One chunk's story: claimed, run, flushed now and then, finished, or cut short. */
export class ChunkExecutor {
  readonly done: Promise<void>;
  #work: ChunkWork | null = null;
  #runner: SingleRunner | BatchRunner | null = null;
  #isDone = false;
  #isDraining = false;
  #isAlone = false;
  #hasFailed = false;
  #isClearing = false;
  #hasFlushed: boolean;
  #sliceAtMs = performance.now() + SLICE_MS;

  constructor(
    readonly lease: Lease,
    private readonly type: TaskType,
    private readonly tools: ExecutorTools,
  ) {
    this.#hasFlushed = lease.started;
    this.done = this.#run()
      .catch((error: unknown) => this.#report(error))
      .finally(async () => {
        this.#isDone = true;
        if (this.#isAlone && (this.#hasFailed || this.#work?.isLost)) await this.#survive();
        tools.onChange();
      });
  }

  /** The lease as it is now; null once nothing is to be extended or watched any more. */
  get ref(): Lease | null {
    if (this.#isDone || this.#work?.isStopped) return null;
    return this.#work?.ref ?? this.lease;
  }

  /** Places of the process that this chunk could use now. */
  get demand(): number {
    if (this.#isDone) return 0;
    const runner = this.#runner;
    const share = this.tools.pace.shareOf(this.type.type);
    if (runner instanceof SingleRunner) return runner.demand * share;
    if (runner) return runner.isDone ? 0 : 1;
    return takesOnePlace(this.type) ? 1 : this.lease.size * share;
  }

  get takesLane(): boolean {
    return this.type.transaction === true && !this.#isDone;
  }

  async #run(): Promise<void> {
    const { store, leaseMs } = this.tools;
    await nextTurn();
    const recorded = this.lease.recorded > 0 ? await store.recordedPositions(this.lease) : new Set<number>();
    const work = new ChunkWork(this.lease, this.type, store, leaseMs, recorded);
    this.#work = work;
    if (!(await this.#clear(work))) return;
    await this.#runTasks(work);
    if (blameOf(this.lease) > 0 && work.hasProgress) await this.#pardonOthers();
  }

  /**
   * What must come before the tasks of a suspect run: it is split, or what else runs here is waited for, or it has failed.
   * @returns whether they may run
   */
  async #clear(work: ChunkWork): Promise<boolean> {
    const { lease } = this;
    if (!lease.suspect) return true;
    if (!isLone(lease)) return work.split();
    if (isCondemned(lease)) {
      const sentence = `Its worker was lost ${lease.crashes} times while it ran this task and nothing else`;
      for (const task of work.takeRest()) work.settlement.settle(task, failed('WorkerCrashed', sentence));
      await work.finish(() => []);
      return false;
    }
    while (!this.tools.isAlone(this) && !this.#isDraining && !work.isStopped) await this.tools.places.freed();
    if (this.#isDraining || work.isStopped) return true;
    // Beside a handler that ignores its signal it runs too, or it might wait for ever; but then it is not to blame.
    if (Call.strays === 0) this.#isAlone = await work.isolate((ref) => this.tools.suspects.isolate(ref));
    return true;
  }

  async #runTasks(work: ChunkWork): Promise<void> {
    const { places, lanes, leaseMs } = this.tools;
    const { handler } = this.type;
    if (isBatchHandler(handler) || this.type.transaction) {
      const runner = new BatchRunner(work, places, lanes, Math.ceil(leaseMs / 2));
      this.#runner = runner;
      if (this.#isDraining) runner.yield();
      if (await runner.run()) return;
    } else {
      const runner = new SingleRunner(work, handler, this.tools, () => this.#clearSoon());
      this.#runner = runner;
      if (this.#isDraining) runner.yield();
      await runner.run();
      this.tools.pace.learn(this.type.type, runner.ended, runner.endedMs);
    }
    await work.finish(() => work.handBack(work.takeRest(), this.#isDraining ? 1 : 2));
  }

  /** Called a few times a second: ends calls whose time is over, writes what there is, gives back what takes long. */
  tick(): void {
    const work = this.#work;
    if (!work || this.#isDone || work.isStopped) return;
    const nowMs = performance.now();
    const overdue = [...work.calls].filter((call) => call.isOverdue(nowMs));
    for (const call of overdue) call.abort('timeout');
    // What that leaves may be the last result of the chunk, which is not for a flush.
    if (overdue.length > 0 || work.isWriting) return;
    if (nowMs > this.#sliceAtMs && work.waiting > 0) this.#slice(nowMs);
    else if (!work.settlement.buffer.isEmpty || !this.#hasFlushed) this.#spawn(work.flush());
    this.#hasFlushed = true;
  }

  /**
   * Records the first result of a suspect at once, which clears it. At the next tick it would come a quarter of a second
   * later: where workers live no longer than that, 200 kills brought innocent chunks down to tasks that run alone.
   */
  #clearSoon(): void {
    const work = this.#work;
    if (!work?.lease.suspect || work.hasProgress || this.#isClearing) return;
    this.#isClearing = true;
    // A turn later, when all that ends now has ended: the last result of a chunk is not for a flush.
    setImmediate(() => {
      this.#isClearing = false;
      const isOpen = !this.#isDone && !work.isStopped && !work.isWriting;
      if (isOpen && this.demand > 0 && work.settlement.buffer.count > 0) this.#spawn(work.flush());
    });
  }

  #slice(nowMs: number): void {
    const work = this.#work;
    if (!work) return;
    this.#sliceAtMs = nowMs + SLICE_MS;
    const begun = Math.max(1, this.lease.size - work.waiting);
    const restMs = ((nowMs - work.startedAtMs) / begun) * work.waiting;
    if (restMs < SLICE_REST_MS) return;
    if (this.#runner instanceof SingleRunner) this.#spawn(this.#giveRestBack(this.#runner, 2));
    else this.#runner?.yield();
  }

  /** Hands back what has not begun, in this many chunks; what runs stays, in a chunk of its own that keeps the lease. */
  async #giveRestBack(runner: SingleRunner, parts: number): Promise<void> {
    const work = this.#work;
    if (!work) return;
    // With nothing running, the runner ends now, and the end of the story hands the rest back.
    if (runner.running.length === 0) {
      runner.yield();
      return;
    }
    await work.finish(() => [
      ...work.handBack(runner.running, 1).map((chunk) => ({ ...chunk, keepsLease: true as const })),
      ...work.handBack(work.takeRest(), parts),
    ]);
  }

  /** Begins nothing more and hands back what has not begun. */
  drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#runner?.yield();
    this.tools.places.wake();
    if (this.#runner instanceof SingleRunner) this.#spawn(this.#giveRestBack(this.#runner, 1));
  }

  /** The drain's time is over: aborts what runs, which is then handed back. */
  cutShort(): void {
    for (const call of this.#work?.calls ?? []) call.abort('drain');
  }

  /** What the database says of the lease as it was when it was asked, and of its job. */
  learn(asked: Lease, state: LeaseState): void {
    const work = this.#work;
    if (!work || this.#isDone) return;
    const isLost = !state.held && !work.isEnding && work.ref.chunkId === asked.chunkId;
    if (state.status !== 'working') this.#stop('ended');
    else if (isLost) this.#stop('lost');
    else if (state.paused) this.drain();
  }

  /** The heartbeat has not got through for the length of a lease: others may have the chunk by now. */
  lose(): void {
    this.#stop('lost');
  }

  #stop(why: 'lost' | 'ended'): void {
    this.#work?.stop(why);
    this.tools.places.wake();
  }

  #spawn(writing: Promise<void>): void {
    writing.catch((error: unknown) => this.#report(error));
  }

  /** A fault of ours or of the database, not of a handler: the chunk is dropped, and runs again when its lease is over. */
  #report(error: unknown): void {
    const { jobId, accountId, chunkId } = this.lease;
    log.error({
      job: printJobId(jobId),
      account: accountId,
      chunk: String(chunkId),
      err: error,
      msg: 'a chunk could not be carried on',
    });
    this.#hasFailed = true;
    this.#stop('ended');
  }

  /** This task was blamed and has ended well. A database that is away now hears of the next such task. */
  async #pardonOthers(): Promise<void> {
    try {
      await this.tools.suspects.pardon();
    } catch (error) {
      if (!isDatabaseAway(error)) throw error;
    }
  }

  /** The lease of a suspect that ran alone is lost, but this process lives: says so, however long the database is away. */
  async #survive(): Promise<void> {
    const ref = this.#work?.ref ?? this.lease;
    for (;;) {
      try {
        await this.tools.suspects.survive(ref);
        return;
      } catch (error) {
        if (!isDatabaseAway(error)) this.#report(error);
        if (!isDatabaseAway(error) || this.#isDraining) return;
        await new Promise((resolve) => setTimeout(resolve, REPORT_PAUSE_MS).unref());
      }
    }
  }
}
