import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import {
  failed,
  succeeded,
  TaskHandler,
  type SingleTaskHandler,
  type TaskContext,
  type TaskOutcome,
} from '../jobs/task-handler.js';

/** Two task types with which to try the service out: DEMO_TASKS lets them be submitted. */

const note = z.string('expected a string').max(1_000).optional();

const sleepTask = z.strictObject({
  ms: z.int('expected milliseconds').min(0).max(3_600_000).default(0),
  note,
});

@TaskHandler({ type: 'demo.sleep', task: sleepTask })
export class DemoSleepHandler implements SingleTaskHandler<z.output<typeof sleepTask>> {
  async run(task: z.output<typeof sleepTask>, context: TaskContext): Promise<TaskOutcome> {
    if (task.ms > 0) await sleep(task.ms, undefined, { signal: context.signal });
    return succeeded({
      ms: task.ms,
      ...(task.note !== undefined && { note: task.note }),
      action: 'sleep',
      errors: '',
      success: true,
      status: 'Slept',
    });
  }
}

const failTask = z.strictObject({
  times: z.int('expected how many attempts fail').min(0).max(1_000).default(1),
  message: z.string('expected a string').max(1_000).default('It was asked to fail'),
  crash: z.boolean('expected true or false').default(false),
  note,
});

@TaskHandler({ type: 'demo.fail', task: failTask })
export class DemoFailHandler implements SingleTaskHandler<z.output<typeof failTask>> {
  run(task: z.output<typeof failTask>, context: TaskContext): TaskOutcome {
    if (task.crash) process.kill(process.pid, 'SIGKILL');
    const extra = { ...(task.note !== undefined && { note: task.note }), action: 'fail' };
    if (context.attempt <= task.times)
      return failed('DemoFailure', task.message, { retry: true, result: extra });
    return succeeded({ ...extra, errors: '', success: true, status: 'Succeeded' });
  }
}
