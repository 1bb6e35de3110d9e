import { MAX_RESULT_BYTES } from '../jobs/job.js';
import { whyNotStorable } from '../jobs/json-text.js';
import { failed, type Failed, type JsonObject, type TaskOutcome } from '../jobs/task-handler.js';

/** From what a handler returned or threw to what can be recorded. */

const SENTENCE_MAX = 1_000;

/** Text that Postgres can store and a poll can carry. */
export const cleanText = (text: string, max = SENTENCE_MAX): string =>
  text.toWellFormed().replaceAll('\0', '').slice(0, max).toWellFormed();

const isOutcome = (value: unknown): value is TaskOutcome => {
  if (typeof value !== 'object' || value === null || !('success' in value)) return false;
  if (value.success === true) return 'result' in value;
  return value.success === false && 'error' in value && 'sentence' in value;
};

/** A handler's return value, taken at its word only when it is one of the closed set. */
export function toOutcome(value: unknown): TaskOutcome {
  if (isOutcome(value)) return value;
  return failed('HandlerError', 'The handler returned neither succeeded(…) nor failed(…)');
}

/** What a handler threw. */
export function thrownOutcome(thrown: unknown): Failed {
  const sentence = thrown instanceof Error ? thrown.message : String(thrown);
  return failed('HandlerError', sentence || 'The handler failed without saying why', { retry: true });
}

export type ResultText = { readonly text: string } | { readonly failure: Failed };

/** The JSON text of a success's result; or the failure that it is, where the text cannot be stored (rule 15). */
export function resultText(result: unknown): ResultText {
  let text: string | undefined;
  try {
    text = JSON.stringify(result ?? null);
  } catch (error) {
    return { failure: failed('ResultInvalid', `The result is not JSON: ${String(error)}`) };
  }
  // A function or a symbol.
  if ((text as string | undefined) === undefined)
    return { failure: failed('ResultInvalid', 'The result is not JSON') };
  if (text.length > MAX_RESULT_BYTES / 3) {
    const bytes = Buffer.byteLength(text);
    if (bytes > MAX_RESULT_BYTES)
      return {
        failure: failed(
          'ResultTooLarge',
          `The result has ${bytes} bytes, at most ${MAX_RESULT_BYTES} are kept`,
        ),
      };
  }
  const unstorable = whyNotStorable(text);
  if (unstorable !== null)
    return { failure: failed('ResultInvalid', `The result cannot be stored: ${unstorable}`) };
  return { text };
}

export interface FailureRecord {
  readonly position: number;
  readonly result: JsonObject;
  readonly error: string;
  readonly task: unknown;
}

/** A failed task's result: what the handler added, with the three members that every failure has. */
export function failureRecord(position: number, task: unknown, failure: Failed): FailureRecord {
  const sentence = cleanText(failure.sentence);
  const base = { errors: sentence, success: false, status: 'Failed' };
  const extra = resultText(failure.result);
  const error = /^[A-Z][A-Za-z0-9]{0,63}$/.test(failure.error) ? failure.error : 'HandlerError';
  const result = 'text' in extra ? { ...(JSON.parse(extra.text) as JsonObject), ...base } : base;
  return { position, result, error, task };
}
