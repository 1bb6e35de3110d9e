/** What the author of a task handler imports from `tally`. */
export {
  failed,
  succeeded,
  TaskHandler,
  type BatchContext,
  type BatchTaskHandler,
  type Failed,
  type JsonObject,
  type JsonValue,
  type SingleTaskHandler,
  type Succeeded,
  type TaskContext,
  type TaskHandlerClass,
  type TaskHandlerOptions,
  type TaskLog,
  type TaskOutcome,
  type TaskTransaction,
} from './jobs/task-handler.js';
