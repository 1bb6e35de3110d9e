import { Inject, Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { invalid, type FieldError } from '../errors.js';
import type { SubmissionKey } from './idempotency.service.js';
import { newJobId, planChunks } from './job.js';
import { newStatus, type StatusRow } from './job.store.js';
import { NAMED_TASKS_MAX, readHead, readTask } from './read-task.js';
import { RepeatFinder } from './repeat-finder.js';
import { addJob, tooManyTasks } from './submission-refused.js';
import { Submissions } from './submissions.js';
import { TaskTypes, type TaskType } from './task-types.js';

type Limits = Pick<Config, 'MAX_TASKS_PER_JOB' | 'MAX_TASK_BYTES' | 'MAX_WORKING_JOBS' | 'CALLBACK_SECRET'>;

/** Takes jobs in whose tasks have come in one piece; those that are streamed come by upload.service.ts. */
@Injectable()
export class SubmissionService {
  constructor(
    private readonly submissions: Submissions,
    private readonly types: TaskTypes,
    @Inject(CONFIG) private readonly limits: Limits,
  ) {}

  /**
   * @param body `{type, tasks, …options}` as parsed from JSON
   * @param key of the request, which commits with the job
   * @param origin where the request reached the service, for the job's callback
   * @returns the new job's status
   * @throws DomainError RecordInvalid that names each bad field, TooManyValues, TooManyJobs; nothing is left behind
   */
  async submit(
    caller: Principal,
    body: unknown,
    key: SubmissionKey | null = null,
    origin = '',
  ): Promise<StatusRow> {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw invalid([{ field: 'body', description: 'expected an object with type and tasks' }]);
    const { tasks, ...head } = body as Record<string, unknown>;
    const { type, options } = readHead(this.types, head, this.limits);
    const { texts, ordered } = this.#readTasks(tasks, type);
    const job = {
      id: newJobId(),
      accountId: caller.accountId,
      createdBy: caller.userId,
      type: type.type,
      options,
      origin,
      total: texts.length,
      ordered,
      maxWorkingJobs: this.limits.MAX_WORKING_JOBS,
      key: key && (await key.held()),
    };
    const submit = () => this.submissions.add({ ...job, chunks: planChunks(texts) });
    await addJob(options, job.maxWorkingJobs, submit);
    return newStatus(job);
  }

  /** Each task as the JSON text that is kept, after its type's schema and the limits have passed it. */
  #readTasks(tasks: unknown, type: TaskType): { texts: string[]; ordered: boolean } {
    if (!Array.isArray(tasks) || tasks.length === 0)
      throw invalid([{ field: 'tasks', description: 'expected an array of one task or more' }]);
    const max = this.limits.MAX_TASKS_PER_JOB;
    if (tasks.length > max) throw tooManyTasks(max, `, got: ${tasks.length}`);
    const texts: string[] = [];
    const bad: FieldError[][] = [];
    const repeats = new RepeatFinder();
    for (const [position, task] of tasks.entries()) {
      const read = readTask(task, type, position, this.limits.MAX_TASK_BYTES);
      if (Array.isArray(read)) bad.push(read);
      else {
        texts.push(read.text);
        if (type.orderBy) repeats.add(type.orderBy(read.input as never));
      }
      if (bad.length >= NAMED_TASKS_MAX) break;
    }
    if (bad.length > 0) throw invalid(bad.flat());
    return { texts, ordered: repeats.hasRepeat };
  }
}
