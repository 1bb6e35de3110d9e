import 'reflect-metadata';
import type { z } from 'zod';
import type { Prisma } from '../database/generated/client.js';

/**
 * What a task handler is: the part of Tally that the author of a handler sees.
 *
 * A handler is a class with the decorator `@TaskHandler` and either `run` (one task at a time) or `runBatch` (many).
 */

/** Anything JSON can say. What a handler returns is sent to the client as it is. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/** The database inside the transaction that also records the results. */
export type TaskTransaction = Prisma.TransactionClient;

export interface Succeeded {
  readonly success: true;
  readonly result: JsonValue;
}

export interface Failed {
  readonly success: false;
  /** One CamelCase word that stays the same, for programs: `AddressUnknown`. */
  readonly error: string;
  /** One sentence for people: the `errors` of the result. */
  readonly sentence: string;
  /** Whether another attempt may go better. */
  readonly retry: boolean;
  /** How long to wait before it; absent: exponential backoff. */
  readonly retryInSeconds?: number;
  /** Members of the result beside `success`, `status` and `errors`, such as an id. */
  readonly result: JsonObject;
}

/** The closed set of what can become of a task. A thrown error is a failure `HandlerError` that may be retried. */
export type TaskOutcome = Succeeded | Failed;

export const succeeded = (result: JsonValue): Succeeded => ({ success: true, result });

/**
 * @param error one CamelCase word
 * @param sentence what went wrong, for people
 */
export const failed = (
  error: string,
  sentence: string,
  more: { retry?: boolean; retryInSeconds?: number; result?: JsonObject } = {},
): Failed => ({
  success: false,
  error,
  sentence,
  retry: more.retry ?? more.retryInSeconds !== undefined,
  result: more.result ?? {},
  ...(more.retryInSeconds !== undefined && { retryInSeconds: more.retryInSeconds }),
});

/** A logger that knows the job: each line carries its id and account. */
export interface TaskLog {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** What every call of a handler is given. */
export interface HandlerContext {
  /** The job's id as the API shows it. */
  readonly jobId: string;
  /** The account that submitted the job: scope every read and write by it. */
  readonly accountId: number;
  /** 1 in the first attempt. Counts failures, not crashes: a task may run again with the same number. */
  readonly attempt: number;
  /** Aborted when the job is killed, the lease is lost, the time is over or the process must stop. */
  readonly signal: AbortSignal;
  /** Only for a handler with `transaction: true`: what is written here commits together with the result, exactly once. */
  readonly tx: TaskTransaction;
  readonly log: TaskLog;
  /** Sets the job's message (its end overwrites it). */
  readonly message: (text: string) => void;
}

export interface TaskContext extends HandlerContext {
  /** The task's position in the job. */
  readonly index: number;
  /** `{job id}:{index}`, the same in every attempt: for the receiver of an effect outside to deduplicate by. */
  readonly key: string;
}

export interface BatchContext extends HandlerContext {
  readonly indexes: readonly number[];
  /** A key a task, as in TaskContext. */
  readonly keys: readonly string[];
}

/** Runs one task. What it returns is the result; `failed(…)` or an error thrown is a failure. */
export interface SingleTaskHandler<Task = unknown> {
  run(task: Task, context: TaskContext): Promise<TaskOutcome> | TaskOutcome;
}

/**
 * Runs many tasks of one job at once and returns an outcome for each, in their order. An error thrown undoes the batch,
 * which is then tried in halves until the task at fault stands alone.
 */
export interface BatchTaskHandler<Task = unknown> {
  runBatch(tasks: readonly Task[], context: BatchContext): Promise<readonly TaskOutcome[]>;
}

export type AnyTaskHandler = SingleTaskHandler<never> | BatchTaskHandler<never>;

export interface TaskHandlerOptions {
  /** The `type` of a job: `tickets.update`. */
  readonly type: string;
  /** Validates a task at submission and types it for the handler (its output is what the handler is given). */
  readonly task: z.ZodType;
  /**
   * Whether the handler writes through `context.tx`. Its tasks then run one after the other (or as one batch) on a
   * connection of their own, and what they write commits with their results. Default false.
   */
  readonly transaction?: boolean;
  /**
   * What a task concerns, such as a ticket's id: tasks of one job with the same key take effect in the order in which they
   * were submitted, also across retries (those that `runBatch` asks for come after the rest of their batch). Only a job in
   * which a key repeats pays for that: its tasks run one after the other, or batch after batch.
   */
  readonly orderBy?: (task: never) => string | number;
  /** Tasks in one call of `runBatch`, at most. Default 1,000. */
  readonly batchSize?: number;
  /** Tasks of this type that run at once over all processes, at most: for what stands behind them. Default: any number. */
  readonly concurrency?: number;
}

const TASK_HANDLER = Symbol.for('tally:task-handler');

/** A class of handlers. */
export type TaskHandlerClass = new (...args: never[]) => AnyTaskHandler;

/**
 * Declares a class as the handler of one task type: as a decorator, or called with the class where there are no decorators.
 * The class is a Nest provider and may inject what it needs.
 */
export const TaskHandler =
  (options: TaskHandlerOptions) =>
  <Class extends TaskHandlerClass>(handler: Class): Class => {
    Reflect.defineMetadata(TASK_HANDLER, options, handler);
    return handler;
  };

/** What a class was declared to handle; undefined: it is no handler. */
export const handlerOptions = (handler: object): TaskHandlerOptions | undefined =>
  Reflect.getMetadata(TASK_HANDLER, handler) as TaskHandlerOptions | undefined;
