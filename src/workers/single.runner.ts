import { failed, type SingleTaskHandler, type TaskOutcome } from '../jobs/task-handler.js';
import { Call, CallAborted, type OpenCall } from './call.js';
import type { ChunkWork } from './chunk.work.js';
import type { PendingTask } from './settlement.js';
import { SingleContext } from './handler-context.js';
import { thrownOutcome, toOutcome } from './outcome.js';
import type { Places } from './places.js';

/** What becomes of a task that did not return. Undefined: nothing, it will run again elsewhere. */
export function outcomeOfThrown(thrown: unknown, timeoutMs: number) {
  if (!(thrown instanceof CallAborted)) return thrownOutcome(thrown);
  if (thrown.why !== 'timeout') return undefined;
  return failed('TaskTimeout', `The task took longer than ${timeoutMs / 1_000} s`, { retry: true });
}

/** Runs a chunk's tasks side by side, each on a place of the process, and settles each when it ends. */
export class SingleRunner {
  /** Tasks that have ended, and the milliseconds that they took, summed. */
  ended = 0;
  endedMs = 0;
  private readonly places: Places;
  private readonly onChange: () => void;
  readonly #running = new Map<OpenCall, PendingTask>();
  #idle: (() => void) | null = null;
  #isYielding = false;

  constructor(
    private readonly work: ChunkWork,
    private readonly handler: SingleTaskHandler,
    tools: { readonly places: Places; readonly onChange: () => void },
    private readonly onEnd: () => void,
  ) {
    this.places = tools.places;
    this.onChange = tools.onChange;
  }

  /** Places that the chunk could use now. */
  get demand(): number {
    const { size, slots } = this.work.lease;
    const open = this.work.waiting + this.#running.size;
    // Where a limit is what holds it back, it must not keep places from others.
    return slots < Math.min(size, this.places.total) ? Math.min(open, slots) : open;
  }

  get running(): readonly PendingTask[] {
    return [...this.#running.values()];
  }

  /** Begins no further task: what has not begun is left to be handed back. */
  yield(): void {
    this.#isYielding = true;
    this.places.wake();
  }

  /** Resolves when no task is left, or none may begin any more and all have ended. */
  async run(): Promise<void> {
    while (this.work.waiting > 0 && !this.work.isStopped && !this.#isYielding) {
      if (!this.#mayBegin() || !this.places.take()) {
        await this.places.freed();
        continue;
      }
      const task = this.work.next();
      if (task) this.#start(task);
      else this.places.release();
    }
    this.onChange();
    while (this.#running.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  /** In a job with an order, one task at a time; else as many as the limits of the type and the account have left. */
  #mayBegin(): boolean {
    const { ordered, slots } = this.work.lease;
    return this.#running.size < (ordered ? 1 : slots);
  }

  #start(task: PendingTask): void {
    const { work } = this;
    const context = new SingleContext(work, null, task.position);
    const timeoutMs = work.lease.taskTimeoutSeconds * 1_000;
    const call: Call<TaskOutcome> = new Call(work.lease, context, timeoutMs, {
      returned: (value) => {
        this.#end(call);
        if (!work.isStopped) work.settlement.settle(task, toOutcome(value));
        this.#leave();
      },
      thrown: (thrown) => {
        this.#end(call);
        const outcome = outcomeOfThrown(thrown, timeoutMs);
        if (outcome && !work.isStopped) work.settlement.settle(task, outcome);
        else if (!work.isStopped) work.giveBack([task]);
        this.#leave();
      },
    });
    this.#running.set(call, task);
    work.calls.add(call);
    call.begin(() => this.handler.run(task.input, context));
  }

  #end(call: OpenCall): void {
    this.ended += 1;
    this.endedMs += call.elapsedMs;
    this.#running.delete(call);
    this.work.calls.delete(call);
  }

  #leave(): void {
    if (this.work.lease.ordered && this.work.settlement.hasRetries) this.#isYielding = true;
    this.places.release();
    this.onEnd();
    if (this.work.waiting === 0) this.onChange();
    if (this.#running.size > 0) return;
    this.#idle?.();
    this.#idle = null;
  }
}
