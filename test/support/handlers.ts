import { z } from 'zod';
import type {
  BatchContext,
  TaskContext,
  TaskHandlerOptions,
  TaskOutcome,
} from '../../src/jobs/task-handler.js';
import type { TestHandler } from './app.js';

export interface Task {
  readonly n: number;
}

/** A handler of `test.task` that does as the test says. */
export const single = (
  run: (task: Task, context: TaskContext) => Promise<TaskOutcome> | TaskOutcome,
  more: Partial<TaskHandlerOptions> = {},
): TestHandler => ({
  options: { type: 'test.task', task: z.object({ n: z.number() }), ...more },
  handler: { run },
});

export const batch = (
  runBatch: (tasks: readonly Task[], context: BatchContext) => Promise<readonly TaskOutcome[]>,
  more: Partial<TaskHandlerOptions> = {},
): TestHandler => ({
  options: { type: 'test.task', task: z.object({ n: z.number() }), ...more },
  handler: { runBatch },
});

export const tasks = (total: number): Task[] => Array.from({ length: total }, (_, n) => ({ n }));
