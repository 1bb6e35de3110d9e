import { setMaxListeners } from 'node:events';
import { expect } from '@jest/globals';
import { z } from 'zod';
import { failed, succeeded, type TaskContext, type TaskOutcome } from '../../src/jobs/task-handler.js';
import { JOBS, serve, type Served } from '../http/http-support.js';
import type { Answer, TestAppOptions, TestHandler, TestUser } from '../support/app.js';
import { waitFor } from '../support/wait-for.js';

export const NO_JOB = '0'.repeat(32);

/** How a job's message ends, as in `Completed at Fri Apr 13 02:51:53 +0000 2012`. */
export const MESSAGE_TIME =
  '(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \\d\\d \\d\\d:\\d\\d:\\d\\d \\+0000 \\d{4}';

/** RFC 3339, UTC. */
export const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

export const statusPath = (id: string) => `/api/v2/job_statuses/${id}.json`;
export const jobPath = (id: string, what = '') => `/api/v2/jobs/${id}${what && `/${what}`}.json`;

export interface StagedTask {
  readonly n: number;
  /** It runs until the stage lets it go, or it is aborted. */
  readonly waits?: boolean;
  /** It fails with this word, once and for all. */
  readonly fails?: string;
  /** It fails, and is to be tried again in an hour. */
  readonly isBusy?: boolean;
  /** It sets the message of its job. */
  readonly says?: string;
}

/** The handler of `test.staged`, whose tasks do as they say. */
export class Stage {
  /** The numbers of the tasks in the order in which they began. */
  readonly begun: number[] = [];
  aborted = 0;
  readonly #free = new Set<string>();
  readonly #letGo = new EventTarget();

  constructor() {
    // Each task that waits is one.
    setMaxListeners(0, this.#letGo);
  }

  readonly handler: TestHandler = {
    options: {
      type: 'test.staged',
      task: z.strictObject({
        n: z.number(),
        waits: z.boolean().optional(),
        fails: z.string().optional(),
        isBusy: z.boolean().optional(),
        says: z.string().optional(),
      }),
    },
    handler: { run: (task: StagedTask, context: TaskContext) => this.#run(task, context) },
  };

  async #run(task: StagedTask, context: TaskContext): Promise<TaskOutcome> {
    this.begun.push(task.n);
    if (task.says !== undefined) context.message(task.says);
    if (task.waits && !this.#free.has(context.jobId)) await this.#end(context);
    if (task.fails !== undefined) return failed(task.fails, `Task ${task.n} did not work`);
    if (task.isBusy) return failed('Busy', 'Come back in an hour', { retryInSeconds: 3_600 });
    return succeeded({ n: task.n });
  }

  /** Until the job is let go or the task is aborted. */
  async #end({ jobId, signal }: TaskContext): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#letGo.addEventListener(jobId, () => resolve());
      signal.addEventListener('abort', () => {
        this.aborted += 1;
        resolve();
      });
    });
  }

  /** No task of this job waits any longer, whether it has begun or not. */
  letGo(jobId: string): void {
    this.#free.add(jobId);
    this.#letGo.dispatchEvent(new Event(jobId));
  }
}

/** A service that runs jobs, and a stage for them. */
export class Scene {
  private constructor(
    readonly served: Served,
    readonly stage: Stage,
  ) {}

  static async open({ env, handlers = [] }: TestAppOptions = {}): Promise<Scene> {
    const stage = new Stage();
    const served = await serve({
      role: 'all',
      env: { DRAIN_SECONDS: '0', MAX_WORKING_JOBS: '1000', ...env },
      handlers: [stage.handler, ...handlers],
    });
    return new Scene(served, stage);
  }

  get user(): TestUser {
    return this.served.user;
  }

  close(): Promise<void> {
    return this.served.stop();
  }

  get(path: string, headers: Record<string, string> = {}, as = this.user): Promise<Answer> {
    return this.served.app.get(path, as, headers);
  }

  post(path: string, body?: unknown, headers: Record<string, string> = {}, as = this.user): Promise<Answer> {
    return this.served.app.post(path, as, body, headers);
  }

  /** @returns the new job's id */
  async submit(tasks: readonly StagedTask[], options: object = {}): Promise<string> {
    const answer = await this.post(JOBS, { type: 'test.staged', tasks, ...options });
    expect([answer.status, answer.body.error]).toEqual([202, undefined]);
    return answer.body.id as string;
  }

  /** A job of which every task has run. @returns its id */
  async completed(tasks: readonly StagedTask[], options: object = {}): Promise<string> {
    const id = await this.submit(tasks, options);
    expect(await this.ended(id)).toMatchObject({ status: 'completed' });
    return id;
  }

  async status(id: string): Promise<Answer['body']> {
    return (await this.get(statusPath(id))).body;
  }

  async job(id: string): Promise<Answer['body']> {
    return (await this.get(jobPath(id))).body;
  }

  act(id: string, what: string, as = this.user): Promise<Answer> {
    return this.post(jobPath(id, what), undefined, {}, as);
  }

  /** @returns the status once the job has ended */
  async ended(id: string): Promise<Answer['body']> {
    return waitFor(
      async () => {
        const status = await this.status(id);
        return status.status !== 'working' && status;
      },
      { timeoutMs: 10_000, what: 'the job to end' },
    );
  }

  /** Until so many of the job's tasks are processed. */
  async progress(id: string, count: number): Promise<void> {
    await waitFor(async () => (await this.status(id)).progress >= count, { what: `a progress of ${count}` });
  }
}

export const numbered = (total: number, more: Omit<StagedTask, 'n'> = {}): StagedTask[] =>
  Array.from({ length: total }, (_, n) => ({ n, ...more }));
