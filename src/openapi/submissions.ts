import { z } from 'zod';
import { jobOptions } from '../jobs/job.schemas.js';
import { describedTask, type TaskType } from '../jobs/task-types.js';

/** What may be submitted as JSON: a shape a task type, as each says what its tasks are. */
export const submissionSchema = (types: readonly TaskType[], maxTasks: number): z.ZodType =>
  z.union(types.map((type) => submissionOf(type, maxTasks)));

const submissionOf = (type: TaskType, maxTasks: number) =>
  z
    .strictObject({
      type: z.literal(type.type),
      tasks: z.array(describedTask(type)).min(1).max(maxTasks),
      ...jobOptions.shape,
    })
    .meta({ title: `A job of ${type.type}` });
