import { Controller, Get, Query } from '@nestjs/common';
import { z } from 'zod';
import { Operation } from '../http/operation.js';
import { noQuery, parseInput } from '../http/validate.js';
import { describedTask, TaskTypes } from './task-types.js';

const taskTypeList = z.strictObject({
  task_types: z
    .array(
      z
        .strictObject({
          type: z.string().describe('As a submission names it'),
          schema: z.record(z.string(), z.unknown()).describe('JSON Schema (2020-12) of a task'),
        })
        .meta({ id: 'TaskType' }),
    )
    .describe('In alphabetical order'),
});

/** What can be submitted here, for forms. */
@Controller('api/v2/task_types')
export class TaskTypesController {
  constructor(private readonly types: TaskTypes) {}

  @Get()
  @Operation({
    id: 'listTaskTypes',
    tag: 'Jobs',
    summary: 'The task types that can be submitted, and what their tasks are',
    query: noQuery,
    answers: {
      200: { description: 'All that this process knows', content: { 'application/json': taskTypeList } },
    },
    errors: ['RecordInvalid'],
  })
  list(@Query() query: unknown): z.output<typeof taskTypeList> {
    parseInput(noQuery, query);
    const types = this.types.submittableNames().flatMap((name) => this.types.get(name) ?? []);
    return {
      task_types: types.map((type) => ({
        type: type.type,
        schema: z.toJSONSchema(describedTask(type), { io: 'input' }),
      })),
    };
  }
}
