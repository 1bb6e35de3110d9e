import { Logger } from '@nestjs/common';
import type { Lane, LaneService } from '../database/lane.service.js';
import { tasksRan } from '../happenings.js';
import { printJobId } from '../jobs/job.js';
import type { TaskOutcome, TaskTransaction } from '../jobs/task-handler.js';
import { isBatchHandler } from '../jobs/task-types.js';
import { Outage } from '../outage.js';
import { DISK_FULL, isDatabaseAway, isSerializationFailure, LEASE_LOST, sqlState } from '../sql-errors.js';
import { Call, CallAborted, type CallEnd } from './call.js';
import type { ChunkWork } from './chunk.work.js';
import { ManyContext, SingleContext } from './handler-context.js';
import { thrownOutcome, toOutcome } from './outcome.js';
import type { Places } from './places.js';
import { Settlement, type PendingTask } from './settlement.js';
import { outcomeOfThrown } from './single.runner.js';

export const BATCH_SIZE = 1_000;
/** A handler with a transaction for single tasks commits after this long, so that progress is live. */
const COMMIT_EVERY_MS = 250;
/** Times that work is begun anew for a deadlock or a cut connection before that counts as its failure. */
const REPLAYS_MAX = 10;
const REPLAY_PAUSE_MS = 50;
/** While the database cannot be written to, the work is begun anew as often. */
const AWAY_PAUSE_MS = 500;
/** How long an aborted handler may keep its connection busy. */
const LET_GO_MS = 500;

const log = new Logger('Worker');
const outage = new Outage(log, 'tasks that write through their transaction are tried again and again');

/** A transaction was given up for the sake of one task: the others lost their work in it and run again. */
class TaskGaveOut extends Error {
  constructor(
    readonly task: PendingTask,
    readonly thrown: unknown,
  ) {
    super('a task ended its transaction');
  }
}

/**
 * Runs a chunk in steps, one at a time on one place of the process: batches of a batch handler, or single tasks one after
 * the other where the handler writes through `tx`. With a transaction, a step's writes and its results are one commit.
 *
 * A step that fails is undone and split in halves, each tried alone, until the task at fault stands alone with its
 * error; the rest of its batch is none the worse.
 */
export class BatchRunner {
  isDone = false;
  #isYielding = false;
  #steps: PendingTask[][] = [];
  #replays = 0;
  #lane: Lane | null = null;

  constructor(
    private readonly work: ChunkWork,
    private readonly places: Places,
    private readonly lanes: LaneService,
    private readonly idleMs: number,
  ) {}

  /** Begins no further step: what has not begun is left to be handed back. */
  yield(): void {
    this.#isYielding = true;
  }

  /** Whether the chunk was ended by its last transaction, and nothing is left to be written. */
  async run(): Promise<boolean> {
    while (!this.places.take()) await this.places.freed();
    try {
      while (!this.#mayEnd()) {
        const step = this.#steps.pop() ?? this.#nextStep();
        const ended = await this.#tryStep(step);
        if (ended) return true;
      }
      return false;
    } finally {
      this.work.giveBack(this.#steps.flat());
      this.isDone = true;
      this.places.release();
    }
  }

  #mayEnd(): boolean {
    const { work } = this;
    return (
      work.isStopped || this.#mustPause(work.settlement) || (this.#steps.length === 0 && work.waiting === 0)
    );
  }

  #nextStep(): PendingTask[] {
    const step: PendingTask[] = [];
    const { type, lease } = this.work;
    const size = isBatchHandler(type.handler)
      ? Math.min(type.batchSize ?? BATCH_SIZE, lease.slots)
      : BATCH_SIZE;
    for (let task = this.work.next(); task; task = step.length < size ? this.work.next() : undefined)
      step.push(task);
    return step;
  }

  /** @returns whether the chunk is ended */
  async #tryStep(step: PendingTask[]): Promise<boolean> {
    try {
      const ended = await (this.work.type.transaction ? this.#inLane(step) : this.#plain(step));
      this.#replays = 0;
      if (this.work.type.transaction) outage.over();
      return ended;
    } catch (error) {
      await this.#afterFailure(step, error);
      return false;
    }
  }

  async #plain(step: PendingTask[]): Promise<boolean> {
    const outcomes = await this.#callBatch(step, null);
    for (const [at, task] of step.entries()) this.work.settlement.settle(task, outcomes[at] as TaskOutcome);
    if (this.#steps.length > 0 || this.work.waiting > 0) await this.work.flush();
    return false;
  }

  /** One transaction: the handler's writes, the results, and the chunk's end where nothing else is left of it. */
  async #inLane(step: PendingTask[]): Promise<boolean> {
    const { work } = this;
    const done = await work.write(() =>
      this.lanes
        .transaction(this.idleMs, async (lane) => {
          this.#lane = lane;
          const settlement = new Settlement(work.lease);
          const rest = isBatchHandler(work.type.handler)
            ? await this.#batchInLane(step, lane, settlement)
            : await this.#singlesInLane(step, lane, settlement);
          const isLast = rest.length === 0 && this.#steps.length === 0 && work.waiting === 0;
          const ends = isLast && !work.settlement.hasOutcomes;
          settlement.buffer.takeMessageOf(work.settlement.buffer);
          work.isEnding = ends;
          const end = ends ? { successors: settlement.takeRetries() } : { keepMs: work.leaseMs };
          const recorded = settlement.takeResults();
          const begunMs = performance.now();
          await work.store.recordWithCommit(lane, work.ref, recorded, end);
          const ms = performance.now() - begunMs;
          return { settlement, rest, ends, recorded, ms };
        })
        .finally(() => {
          this.#lane = null;
          work.isEnding = false;
        }),
    );
    if (!done) return false;
    work.tellRecorded(done.recorded, done.ms);
    if (done.recorded.count > 0) work.noteProgress();
    work.settlement.adoptRetries(done.settlement);
    if (done.rest.length > 0) this.#steps.push(done.rest);
    return done.ends;
  }

  async #batchInLane(step: PendingTask[], lane: Lane, settlement: Settlement): Promise<PendingTask[]> {
    const outcomes = await this.#callBatch(step, lane.tx);
    for (const [at, task] of step.entries()) settlement.settle(task, outcomes[at] as TaskOutcome);
    return [];
  }

  /** @returns the tasks that it did not come to in its time */
  async #singlesInLane(step: PendingTask[], lane: Lane, settlement: Settlement): Promise<PendingTask[]> {
    const untilMs = performance.now() + COMMIT_EVERY_MS;
    let at = 0;
    do {
      const task = step[at] as PendingTask;
      at += 1;
      settlement.settle(task, await this.#singleInLane(task, lane));
    } while (at < step.length && performance.now() < untilMs && !this.#mustPause(settlement));
    return step.slice(at);
  }

  /** Nothing further may begin now: a task waits for its retry in a job with an order, or the rest is to be handed back. */
  #mustPause(settlement: Settlement): boolean {
    return this.#isYielding || (this.work.lease.ordered && settlement.hasRetries);
  }

  /** A failed task's writes are undone; the savepoint keeps those of the others. */
  async #singleInLane(task: PendingTask, lane: Lane): Promise<TaskOutcome> {
    const { work } = this;
    const { handler } = work.type;
    if (isBatchHandler(handler)) throw new TypeError('expected a handler of single tasks');
    await lane.tx.$executeRawUnsafe('SAVEPOINT task');
    const context = new SingleContext(work, lane.tx, task.position);
    let outcome: TaskOutcome;
    try {
      outcome = toOutcome(await this.#call(context, 1, () => handler.run(task.input as never, context)));
    } catch (error) {
      // Its call may go on using this transaction behind our back, or the transaction itself has failed: give it up.
      if (error instanceof CallAborted || isRepeatable(error)) throw new TaskGaveOut(task, error);
      outcome = thrownOutcome(error);
    }
    await lane.tx.$executeRawUnsafe(
      outcome.success ? 'RELEASE SAVEPOINT task' : 'ROLLBACK TO SAVEPOINT task',
    );
    return outcome;
  }

  async #callBatch(step: readonly PendingTask[], tx: TaskTransaction | null): Promise<TaskOutcome[]> {
    const { handler } = this.work.type;
    if (!isBatchHandler(handler)) throw new TypeError('expected a handler of batches');
    const context = new ManyContext(
      this.work,
      tx,
      step.map((task) => task.position),
    );
    const inputs = step.map((task) => task.input);
    const outcomes = await this.#call(context, step.length, () => handler.runBatch(inputs as never, context));
    if (!Array.isArray(outcomes) || outcomes.length !== step.length)
      throw new TypeError(`The handler returned other than ${step.length} outcomes for ${step.length} tasks`);
    return outcomes.map(toOutcome);
  }

  /** @param tasks in the call: each brings its own time */
  async #call<T>(context: SingleContext | ManyContext, tasks: number, run: () => Promise<T> | T): Promise<T> {
    const { work } = this;
    const timeoutMs = work.lease.taskTimeoutSeconds * 1_000 * tasks;
    let end!: CallEnd<T>;
    const ended = new Promise<T>((returned, thrown) => (end = { returned, thrown }));
    const call = new Call<T>(work.lease, context, timeoutMs, end);
    work.calls.add(call);
    try {
      call.begin(run);
      return await ended;
    } catch (error) {
      if (error instanceof CallAborted) this.#cutSoon();
      throw error;
    } finally {
      tasksRan.tell({ type: work.type.type, tasks, seconds: call.elapsedMs / 1_000 });
      work.calls.delete(call);
    }
  }

  /** An aborted handler may leave a statement running, and the ROLLBACK would wait for it: cuts its connection then. */
  #cutSoon(): void {
    const lane = this.#lane;
    setTimeout(() => {
      if (lane !== null && lane === this.#lane) lane.cut();
    }, LET_GO_MS).unref();
  }

  /**
   * Whether it is our database that is away, or full, and no task's fault however often it is tried. A handler may have met such
   * an error elsewhere too, with a connection of its own: so the database is asked.
   */
  async #isAway(thrown: unknown): Promise<boolean> {
    if (!this.work.type.transaction || !isDatabaseAway(thrown)) return false;
    if (sqlState(thrown) === DISK_FULL) return true;
    try {
      return await this.lanes.isReadOnly();
    } catch (error) {
      return isDatabaseAway(error);
    }
  }

  /** The step was undone: decides what of it runs again, and how. */
  async #afterFailure(step: PendingTask[], error: unknown): Promise<void> {
    const { work } = this;
    const thrown = error instanceof TaskGaveOut ? error.thrown : error;
    const faulty = error instanceof TaskGaveOut ? [error.task] : step;
    if (sqlState(thrown) === LEASE_LOST) await work.stopRefused();
    if (work.isStopped) return;
    if (thrown instanceof CallAborted && thrown.why !== 'timeout') {
      this.#steps.push(step);
      this.yield();
      return;
    }
    if (isRepeatable(thrown) && this.#replays < REPLAYS_MAX) {
      this.#replays += 1;
      this.#steps.push(step);
      await new Promise((resolve) => setTimeout(resolve, REPLAY_PAUSE_MS * this.#replays * Math.random()));
      return;
    }
    if (await this.#isAway(thrown)) {
      outage.met(thrown, { job: printJobId(work.lease.jobId), account: work.lease.accountId });
      this.#steps.push(step);
      await new Promise((resolve) => setTimeout(resolve, AWAY_PAUSE_MS));
      return;
    }
    this.#replays = 0;
    const [only] = faulty;
    if (faulty.length > 1) {
      log.warn({
        job: printJobId(work.lease.jobId),
        account: work.lease.accountId,
        err: thrown,
        msg: `a batch of ${step.length} tasks failed and is tried in halves`,
      });
      const middle = Math.ceil(step.length / 2);
      this.#steps.push(step.slice(middle), step.slice(0, middle));
    } else if (only) {
      const outcome = outcomeOfThrown(thrown, work.lease.taskTimeoutSeconds * 1_000);
      if (outcome) work.settlement.settle(only, outcome);
      const others = step.filter((task) => task !== only);
      if (others.length > 0) this.#steps.push(others);
    }
  }
}

/** A deadlock, a serialization failure or a cut connection: nobody's fault, and no attempt of any task. */
const isRepeatable = (error: unknown): boolean => isSerializationFailure(error) || isDatabaseAway(error);
