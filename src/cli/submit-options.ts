import { InvalidArgumentError, Option } from 'commander';
import type { JobOptions } from '../client/client.js';
import { wholeNumber } from './exit.js';
import type { TaskFormat } from './read-tasks.js';

/** The options of `submit` as commander names them. */
export interface SubmitFlags {
  readonly format?: TaskFormat;
  readonly strings?: boolean;
  readonly watch?: boolean;
  readonly idempotencyKey?: string;
  readonly name?: string;
  readonly metadata?: Record<string, unknown>;
  readonly priority?: number;
  readonly maxAttempts?: number;
  readonly maxFailures?: number;
  readonly taskTimeout?: number;
  readonly startAt?: string;
  readonly deadline?: string;
  readonly callbackUrl?: string;
}

/** The options of a job. Their limits are the service's, which says so itself. */
export const submitOptions = (): Option[] => [
  new Option('--name <name>', 'for people, and for list --name'),
  new Option('--metadata <json>', 'an object that is kept with the job').argParser(jsonObject),
  new Option('--priority <n>', '-100 to 100, higher first (default: 0)').argParser(wholeNumber(-100, 100)),
  new Option('--max-attempts <n>', 'how often a task may be tried (default: 3)').argParser(
    wholeNumber(1, 25),
  ),
  new Option('--max-failures <n>', 'when more tasks than this have failed the job ends').argParser(
    wholeNumber(0, 1_000_000_000),
  ),
  new Option('--task-timeout <seconds>', 'for one attempt of a task (default: 30)').argParser(
    wholeNumber(1, 86_400),
  ),
  new Option('--start-at <time>', 'no task begins before; as 2026-12-24T18:00:00Z'),
  new Option('--deadline <time>', 'a job that still works then ends as failed'),
  new Option('--callback-url <url>', 'is told of the end of the job'),
  new Option('--idempotency-key <key>', 'the same key and tasks within a day get the first job again'),
];

function jsonObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('expected a JSON object');
}

/** As the service names them. */
export const jobOptionsOf = (flags: SubmitFlags): JobOptions => ({
  ...(flags.name !== undefined && { name: flags.name }),
  ...(flags.metadata && { metadata: flags.metadata }),
  ...(flags.priority !== undefined && { priority: flags.priority }),
  ...(flags.maxAttempts !== undefined && { max_attempts: flags.maxAttempts }),
  ...(flags.maxFailures !== undefined && { max_failures: flags.maxFailures }),
  ...(flags.taskTimeout !== undefined && { task_timeout: flags.taskTimeout }),
  ...(flags.startAt !== undefined && { start_at: flags.startAt }),
  ...(flags.deadline !== undefined && { deadline: flags.deadline }),
  ...(flags.callbackUrl !== undefined && { callback_url: flags.callbackUrl }),
});
