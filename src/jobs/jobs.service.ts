import { Inject, Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { DomainError, invalid, notFound, type FieldError } from '../errors.js';
import type { Page, PageRequest } from '../http/paging.js';
import { fieldErrors, parseInput } from '../http/validate.js';
import { newJobId, parseJobId, planChunks } from './job.js';
import { submissionHead, type JobFilter } from './job.schemas.js';
import { JobStore, type JobRow, type StatusRow, type Submission } from './job.store.js';
import { whyNotStorable } from './json-text.js';
import { CHECK_VIOLATION, sqlState } from '../sql-errors.js';
import { RepeatFinder } from './repeat-finder.js';
import { TaskTypes, type TaskType } from './task-types.js';

/** Bad tasks that an answer names, at most. */
const NAMED_TASKS_MAX = 100;
/** Complaints about one of them, at most. */
const NAMED_FIELDS_MAX = 10;

type Limits = Pick<Config, 'MAX_TASKS_PER_JOB' | 'MAX_TASK_BYTES' | 'RESULTS_INLINE_MAX'>;

/** What can be asked about jobs: checks what came in, then asks the store. */
@Injectable()
export class JobsService {
  constructor(
    private readonly store: JobStore,
    private readonly types: TaskTypes,
    @Inject(CONFIG) private readonly limits: Limits,
  ) {}

  /**
   * Takes a job in.
   * @param body `{type, tasks, …options}` as parsed from JSON
   * @returns the new job's status
   * @throws DomainError RecordInvalid that names each bad field, TooManyValues; nothing is left behind
   */
  async submit(caller: Principal, body: unknown): Promise<StatusRow> {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw invalid([{ field: 'body', description: 'expected an object with type and tasks' }]);
    const { tasks, ...rest } = body as Record<string, unknown>;
    const { type, ...options } = parseInput(submissionHead, rest);
    const taskType = this.types.submittable(type);
    if (!taskType) {
      const known = this.types.submittableNames().join(', ');
      throw invalid([
        { field: 'type', description: `expected one of ${known}, got: ${type.slice(0, 100).toWellFormed()}` },
      ]);
    }
    if (options.start_at && options.deadline && options.deadline <= options.start_at)
      throw invalid([{ field: 'deadline', description: 'expected a time after start_at' }]);
    const { texts, ordered } = this.#readTasks(tasks, taskType);
    const id = newJobId();
    await this.#store({
      id,
      accountId: caller.accountId,
      createdBy: caller.userId,
      type,
      options,
      total: texts.length,
      ordered,
      chunks: planChunks(texts),
    });
    return {
      id,
      total: texts.length,
      progress: 0,
      status: 'working',
      message: null,
      version: 1,
      results: '[]',
    };
  }

  /** Whether a deadline has passed already is for Postgres's clock to say, which a constraint does. */
  async #store(submission: Submission): Promise<void> {
    try {
      await this.store.submit(submission);
    } catch (error) {
      if (sqlState(error) !== CHECK_VIOLATION || !submission.options.deadline) throw error;
      throw invalid([{ field: 'deadline', description: 'expected a time to come' }]);
    }
  }

  /** @throws DomainError RecordNotFound: no such job in the caller's account, or no id at all */
  async status(caller: Principal, id: string): Promise<StatusRow> {
    const parsed = parseJobId(id);
    const row = parsed && (await this.store.status(caller.accountId, parsed, this.limits.RESULTS_INLINE_MAX));
    if (!row) throw notFound();
    return row;
  }

  /** In the order asked; what the account does not have is left out. */
  async statusMany(caller: Principal, ids: readonly string[]): Promise<StatusRow[]> {
    const parsed = ids.flatMap((id) => parseJobId(id.trim()) ?? []);
    if (parsed.length === 0) return [];
    return this.store.statusMany(caller.accountId, parsed, this.limits.RESULTS_INLINE_MAX);
  }

  /** @throws DomainError RecordNotFound */
  async job(caller: Principal, id: string): Promise<JobRow> {
    const parsed = parseJobId(id);
    const row = parsed && (await this.store.job(caller.accountId, parsed));
    if (!row) throw notFound();
    return row;
  }

  async list(caller: Principal, filter: JobFilter, page: PageRequest): Promise<Page<JobRow>> {
    for (const field of ['after', 'before'] as const) {
      const cursor = page[field];
      if (cursor !== undefined && parseJobId(cursor) === null)
        throw invalid([
          { field: `page[${field}]`, description: 'expected a cursor that an earlier page gave' },
        ]);
    }
    return this.store.list(caller.accountId, filter, page);
  }

  /** Each task as the JSON text that is kept, after its type's schema and the limits have passed it. */
  #readTasks(tasks: unknown, type: TaskType): { texts: string[]; ordered: boolean } {
    if (!Array.isArray(tasks) || tasks.length === 0)
      throw invalid([{ field: 'tasks', description: 'expected an array of one task or more' }]);
    const max = this.limits.MAX_TASKS_PER_JOB;
    if (tasks.length > max)
      throw new DomainError('TooManyValues', `Expected at most ${max} tasks, got: ${tasks.length}`, {
        extra: { max_count: max },
      });
    const texts: string[] = [];
    const bad: FieldError[][] = [];
    const repeats = new RepeatFinder();
    for (const [position, task] of tasks.entries()) {
      const read = this.#readTask(task, type, position);
      if (Array.isArray(read)) bad.push(read.slice(0, NAMED_FIELDS_MAX));
      else {
        texts.push(read.text);
        if (type.orderBy) repeats.add(type.orderBy(read.input as never));
      }
      if (bad.length >= NAMED_TASKS_MAX) break;
    }
    if (bad.length > 0) throw invalid(bad.flat());
    return { texts, ordered: repeats.hasRepeat };
  }

  /** The task's JSON text and what its schema makes of it, or what is wrong with it. */
  #readTask(
    task: unknown,
    type: TaskType,
    position: number,
  ): { text: string; input: unknown } | FieldError[] {
    const field = `tasks.${position}`;
    const refuse = (description: string): FieldError[] => [{ field, description, position }];
    const parsed = type.task.safeParse(task);
    if (!parsed.success) return fieldErrors(parsed.error, field).map((error) => ({ ...error, position }));
    const text = JSON.stringify(task);
    const bytes = Buffer.byteLength(text);
    if (bytes > this.limits.MAX_TASK_BYTES)
      return refuse(`expected at most ${this.limits.MAX_TASK_BYTES} bytes as JSON, got: ${bytes}`);
    const unstorable = whyNotStorable(text);
    return unstorable === null ? { text, input: parsed.data } : refuse(`cannot be stored: ${unstorable}`);
  }
}
