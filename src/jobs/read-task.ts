import type { Config } from '../config/config.js';
import { invalid, type FieldError } from '../errors.js';
import { fieldErrors, parseInput } from '../http/validate.js';
import { submissionHead, type JobOptions } from './job.schemas.js';
import { whyNotStorable } from './json-text.js';
import type { TaskType, TaskTypes } from './task-types.js';

/** How a submission is checked, however it came: first its type and options, then each task. */

/** Bad tasks that an answer names, at most. */
export const NAMED_TASKS_MAX = 100;
/** Complaints about one of them, at most. */
const NAMED_FIELDS_MAX = 10;

/** @throws DomainError RecordInvalid that names each bad option, or the types that there are */
export function readHead(
  types: TaskTypes,
  head: unknown,
  settings: Pick<Config, 'CALLBACK_SECRET'>,
): { type: TaskType; options: JobOptions } {
  const { type, ...options } = parseInput(submissionHead, head);
  const taskType = types.submittable(type);
  if (!taskType) {
    const known = types.submittableNames().join(', ');
    throw invalid([
      { field: 'type', description: `expected one of ${known}, got: ${type.slice(0, 100).toWellFormed()}` },
    ]);
  }
  if (options.start_at && options.deadline && options.deadline <= options.start_at)
    throw invalid([{ field: 'deadline', description: 'expected a time after start_at' }]);
  // Unsigned, a receiver could not tell it from anybody's request.
  if (options.callback_url && !settings.CALLBACK_SECRET)
    throw invalid([
      { field: 'callback_url', description: 'cannot be used here: callbacks need CALLBACK_SECRET to be set' },
    ]);
  return { type: taskType, options };
}

export interface GoodTask {
  /** The JSON text that is kept. */
  readonly text: string;
  /** Of the text in UTF-8. */
  readonly bytes: number;
  /** What the type's schema makes of it. */
  readonly input: unknown;
}

/** @returns the task, or what is wrong with it */
export function readTask(
  task: unknown,
  type: TaskType,
  position: number,
  maxBytes: number,
): GoodTask | FieldError[] {
  const field = `tasks.${position}`;
  const refuse = (description: string): FieldError[] => [{ field, description, position }];
  const parsed = type.task.safeParse(task);
  if (!parsed.success)
    return fieldErrors(parsed.error, field)
      .slice(0, NAMED_FIELDS_MAX)
      .map((error) => ({ ...error, position }));
  const text = JSON.stringify(task);
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) return refuse(`expected at most ${maxBytes} bytes as JSON, got: ${bytes}`);
  const unstorable = whyNotStorable(text);
  return unstorable === null
    ? { text, bytes, input: parsed.data }
    : refuse(`cannot be stored: ${unstorable}`);
}
