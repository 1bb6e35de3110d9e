import { Logger } from '@nestjs/common';
import { LeaseLost } from '../errors.js';
import { leaseLost, resultsRecorded } from '../happenings.js';
import { Outage } from '../outage.js';
import { printJobId } from '../jobs/job.js';
import type { TaskType } from '../jobs/task-types.js';
import { isDatabaseAway } from '../sql-errors.js';
import type { OpenCall } from './call.js';
import type { ChunkStore } from './chunk.store.js';
import type { Lease } from './lease.sql.js';
import type { ChunkVoice } from './handler-context.js';
import { cleanText } from './outcome.js';
import type { RecordedResults, Successor } from './record.sql.js';
import { Settlement, type PendingTask } from './settlement.js';
import { isLone, partsOf, UNSUSPECTED } from './suspicion.js';

const AWAY_RETRY_MS = 200;
const log = new Logger('Worker');
const outage = new Outage(log, 'results cannot be recorded and are kept');

/**
 * One leased chunk: what is still to do, what is done but not yet recorded, and every write on its behalf. The runners
 * decide what runs when; this class knows what may be written.
 */
export class ChunkWork implements ChunkVoice {
  readonly settlement: Settlement;
  readonly calls = new Set<OpenCall>();
  readonly startedAtMs = performance.now();
  /** A record is under way that ends the lease or moves it to another chunk: that it is gone is no loss then. */
  isEnding = false;
  #ref: Lease;
  #queue: PendingTask[] = [];
  #next = 0;
  #stopped: 'lost' | 'ended' | null = null;
  #writing: Promise<unknown> = Promise.resolve();
  #writes = 0;
  #hasProgress = false;

  constructor(
    readonly lease: Lease,
    readonly type: TaskType,
    readonly store: ChunkStore,
    readonly leaseMs: number,
    recorded: ReadonlySet<number>,
  ) {
    this.#ref = lease;
    this.settlement = new Settlement(lease);
    const tasks = JSON.parse(lease.tasks) as unknown[];
    for (const [at, task] of tasks.entries()) {
      const position = lease.positions[at] ?? lease.firstPosition + at;
      if (recorded.has(position)) continue;
      const parsed = type.task.safeParse(task);
      if (parsed.success) this.#queue.push({ position, task, input: parsed.data });
      else
        this.settlement.refuse({ position, task, input: task }, parsed.error.issues[0]?.message ?? 'refused');
    }
  }

  /** The lease under which to write now. */
  get ref(): Lease {
    return this.#ref;
  }

  /** Tasks that have not begun. */
  get waiting(): number {
    return this.#queue.length - this.#next;
  }

  /** Nothing more may be written or started: the chunk is ended, the lease is another's, or the job is over. */
  get isStopped(): boolean {
    return this.#stopped !== null;
  }

  /** The lease was lost: another worker may have the chunk. */
  get isLost(): boolean {
    return this.#stopped === 'lost';
  }

  /** Something was recorded under this lease: a suspect is cleared. */
  get hasProgress(): boolean {
    return this.#hasProgress;
  }

  /** Results were committed under this lease, by whoever wrote them. */
  noteProgress(): void {
    this.#hasProgress = true;
  }

  get isWriting(): boolean {
    return this.#writes > 0;
  }

  /** The next task to begin, which from now on is the caller's to settle or give back. */
  next(): PendingTask | undefined {
    const task = this.#queue[this.#next];
    if (task) this.#next += 1;
    return task;
  }

  /** Puts tasks back at the front. */
  giveBack(tasks: readonly PendingTask[]): void {
    this.#queue = [...tasks, ...this.#queue.slice(this.#next)];
    this.#next = 0;
  }

  /** Takes all that has not begun, to hand it to others. */
  takeRest(): PendingTask[] {
    const rest = this.#queue.slice(this.#next);
    this.#queue = [];
    this.#next = 0;
    return rest;
  }

  say(text: string): void {
    this.settlement.buffer.setMessage(cleanText(text));
  }

  /** Writes what there is and extends the lease. */
  async flush(): Promise<void> {
    await this.write(async () => {
      const recorded = this.settlement.takeResults();
      await this.#record(recorded, () => this.store.flush(this.#ref, recorded, this.leaseMs));
      if (recorded.count > 0) this.#hasProgress = true;
    });
  }

  /**
   * Ends the chunk: its last results, its retries, and what is handed back; or goes on with the part that keeps the lease.
   * @param handBack is asked when the results are taken, so that no task that ends meanwhile is in both
   */
  async finish(handBack: () => readonly Successor[]): Promise<void> {
    await this.write(async () => {
      this.isEnding = true;
      const recorded = this.settlement.takeResults();
      if (recorded.count > 0) this.#hasProgress = true;
      const successors = [...this.settlement.takeRetries(), ...handBack()];
      const kept = await this.#record(recorded, () => this.store.finish(this.#ref, recorded, successors));
      const isReady = successors.some((chunk) => chunk.delayMs === 0 && !chunk.keepsLease);
      // What is handed back, by a drain or a slice, should be begun by somebody else now and not at its next look.
      if (isReady && kept !== undefined) await this.#persist(() => this.store.announce());
      if (typeof kept === 'bigint') this.#ref = { ...this.#ref, chunkId: kept };
      else this.#stopped ??= 'ended';
      this.isEnding = false;
    });
  }

  /**
   * Chunks of these tasks as they were before they were leased, in `parts` of about the same size. A suspect of which
   * nothing was recorded stays one.
   */
  handBack(tasks: readonly PendingTask[], parts: number): Successor[] {
    const sorted = [...tasks].sort((a, b) => a.position - b.position);
    const size = Math.ceil(sorted.length / parts);
    const chunks: Successor[] = [];
    for (let from = 0; from < sorted.length; from += size)
      chunks.push(this.#successor(sorted.slice(from, from + size)));
    return chunks;
  }

  /**
   * Notes that this suspect runs with nothing else in its process. Of a note whose connection was cut nobody knows whether it
   * stands, so it is made again until there is an answer.
   * @returns whether it stands, or may: then the loss of the lease counts against the task, unless this process says that
   *   it lives
   */
  async isolate(note: (ref: Lease) => Promise<void>): Promise<boolean> {
    let mayStand = false;
    await this.write(() =>
      this.#persist(async () => {
        try {
          await note(this.#ref);
          mayStand = true;
        } catch (error) {
          mayStand ||= !(error instanceof LeaseLost);
          throw error;
        }
      }),
    );
    return mayStand;
  }

  /**
   * Splits a suspect of many tasks before anything of it runs. Its first part stays with the lease, unless that is a single
   * task, which must run alone.
   * @returns whether something is left to run here
   */
  async split(): Promise<boolean> {
    const [first = [], ...others] = partsOf(this.takeRest());
    const keeps = first.length > 1;
    await this.finish(() => [
      { ...this.#successor(first), ...(keeps && { keepsLease: true as const }) },
      ...others.map((part) => this.#successor(part)),
    ]);
    if (!keeps || this.isStopped) return false;
    this.giveBack(first);
    return true;
  }

  #successor(tasks: readonly PendingTask[]): Successor {
    const { lease } = this;
    const { suspect, crashes, survived } = this.#hasProgress ? UNSUSPECTED : lease;
    const blame = isLone(lease) ? { crashes, survived } : { crashes: 0, survived: 0 };
    return {
      positions: tasks.map((task) => task.position),
      tasks: tasks.map((task) => task.task),
      attempt: lease.attempt,
      suspect,
      ...blame,
      delayMs: 0,
    };
  }

  /** Ends everything at once and writes nothing more: the rows are not ours to write. */
  stop(why: 'lost' | 'ended'): void {
    if (this.#stopped) return;
    this.#stopped = why;
    if (why === 'lost') {
      leaseLost.tell({ type: this.type.type });
      const { jobId, accountId } = this.lease;
      const chunk = String(this.#ref.chunkId);
      log.warn({
        job: printJobId(jobId),
        account: accountId,
        chunk,
        msg: 'the lease is lost, its chunk is dropped',
      });
    }
    for (const call of this.calls) call.abort(why);
  }

  /**
   * The database has refused a write. Handlers hear of the job's end, where that is why, and not of a lost lease: whichever
   * comes first after a kill, a record or the heartbeat's look, they are told the same.
   */
  async stopRefused(): Promise<void> {
    this.stop((await this.#hasJobEnded()) ? 'ended' : 'lost');
  }

  async #hasJobEnded(): Promise<boolean> {
    try {
      return await this.store.hasJobEnded(this.lease.jobId);
    } catch (error) {
      // Without an answer nothing more is known than that the write was refused.
      if (isDatabaseAway(error)) return false;
      throw error;
    }
  }

  /** Writes come one after the other: a flush must not overtake a finish. After `stop` there are none. */
  async write<T>(write: () => Promise<T>): Promise<T | undefined> {
    this.#writes += 1;
    const done = this.#writing.then(() => (this.isStopped ? undefined : write()));
    this.#writing = done.catch(() => undefined);
    try {
      return await done;
    } finally {
      this.#writes -= 1;
    }
  }

  /** Persists a record, and tells how it went. */
  #record<T>(recorded: RecordedResults, send: () => Promise<T>): Promise<T | undefined> {
    const begunMs = performance.now();
    return this.#persist(async () => {
      const answer = await send();
      this.tellRecorded(recorded, performance.now() - begunMs);
      return answer;
    });
  }

  /** To be called once for each record that was committed. */
  tellRecorded({ count, positions }: Pick<RecordedResults, 'count' | 'positions'>, ms: number): void {
    const succeeded = positions.length;
    resultsRecorded.tell({ type: this.type.type, succeeded, failed: count - succeeded, seconds: ms / 1_000 });
  }

  /**
   * Sends a record until the database has answered. When a connection is cut nobody knows whether it was committed; the
   * same record sent again then adds nothing, or finds the lease gone.
   */
  async #persist<T>(send: () => Promise<T>): Promise<T | undefined> {
    while (!this.isStopped) {
      try {
        const answer = await send();
        outage.over();
        return answer;
      } catch (error) {
        if (error instanceof LeaseLost) {
          await this.stopRefused();
          return undefined;
        }
        if (!isDatabaseAway(error)) throw error;
        outage.met(error, { job: printJobId(this.lease.jobId), account: this.lease.accountId });
        await new Promise((resolve) => setTimeout(resolve, AWAY_RETRY_MS));
      }
    }
    return undefined;
  }
}
