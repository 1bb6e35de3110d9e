import { failed, type Failed, type TaskOutcome } from '../jobs/task-handler.js';
import type { Lease } from './lease.sql.js';
import { failureRecord, resultText } from './outcome.js';
import type { Successor } from './record.sql.js';
import { ResultBuffer } from './result-buffer.js';
import { backoffMs, requestedDelayMs, retryChunks, type Retry } from './retry-policy.js';

/** A task of a chunk that has no result yet. */
export interface PendingTask {
  readonly position: number;
  /** As the client sent it. */
  readonly task: unknown;
  /** As its type's schema made it. */
  readonly input: unknown;
}

/** What has become of tasks and is not recorded yet: results, and retries to come. */
export class Settlement {
  readonly buffer = new ResultBuffer();
  readonly #retries: Retry[] = [];

  constructor(private readonly lease: Pick<Lease, 'attempt' | 'maxAttempts'>) {}

  /** Attempts that the chunk's tasks have had with this one. */
  get attempts(): number {
    return this.lease.attempt + 1;
  }

  /** Whether tasks are among the results or the retries; what the handler said is none. */
  get hasOutcomes(): boolean {
    return this.buffer.count > 0 || this.#retries.length > 0;
  }

  /** Whether a task waits for another attempt, so that in a job with an order none after it may begin. */
  get hasRetries(): boolean {
    return this.#retries.length > 0;
  }

  adoptRetries(other: Settlement): void {
    this.#retries.push(...other.#retries.splice(0));
  }

  /** Puts a task's outcome where it belongs: among the results, or among the retries. */
  settle(task: PendingTask, outcome: TaskOutcome): void {
    if (!outcome.success) {
      this.#fail(task, outcome);
      return;
    }
    const text = resultText(outcome.result);
    if ('text' in text) this.buffer.addSuccess(task.position, text.text);
    else this.#fail(task, text.failure);
  }

  /** The task cannot be given to its handler: its type's schema has changed since it was submitted. */
  refuse(task: PendingTask, why: string): void {
    this.#fail(task, failed('TaskInvalid', why));
  }

  #fail(task: PendingTask, failure: Failed): void {
    if (!failure.retry || this.attempts >= this.lease.maxAttempts) {
      this.buffer.addFailure(failureRecord(task.position, task.task, failure));
      return;
    }
    const delayMs =
      failure.retryInSeconds === undefined
        ? backoffMs(this.attempts, Math.random())
        : requestedDelayMs(failure.retryInSeconds);
    this.#retries.push({ position: task.position, task: task.task, delayMs });
  }

  takeResults() {
    return this.buffer.take(this.attempts);
  }

  /** Takes the retries out, as chunks. */
  takeRetries(): Successor[] {
    return retryChunks(this.#retries.splice(0), this.attempts);
  }
}
