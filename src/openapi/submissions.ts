import { z } from 'zod';
import { jobOptions } from '../jobs/job.schemas.js';
import type { TaskType } from '../jobs/task-types.js';

/** What may be submitted as JSON: a shape a task type, as each says what its tasks are. */
export const submissionSchema = (types: readonly TaskType[], maxTasks: number): z.ZodType =>
  z.union(types.map((type) => submissionOf(type, maxTasks)));

const submissionOf = (type: TaskType, maxTasks: number) =>
  z
    .strictObject({
      type: z.literal(type.type),
      tasks: z.array(taskOf(type)).min(1).max(maxTasks),
      ...jobOptions.shape,
    })
    .meta({ title: `A job of ${type.type}` });

/** A handler from outside may have a schema that JSON Schema has no words for. */
function taskOf({ task }: TaskType): z.ZodType {
  try {
    z.toJSONSchema(task, { io: 'input' });
    return task;
  } catch {
    return z.unknown().describe('Checked by its handler');
  }
}
