import { z } from 'zod';
import type { ErrorWord } from '../errors.js';

/** The one shape of errors, a schema a word: `error` says which, and some words bring members of their own. */

const complaint = z.strictObject({
  description: z.string().describe('What was expected'),
  position: z.int().min(0).optional().describe('Of the task in the job'),
});

const details = z
  .record(z.string(), z.array(complaint).min(1))
  .describe('By field, as the client wrote it: what was expected of it');

/** Members beside `error` and `description`. */
const EXTRA: Partial<Record<ErrorWord, z.ZodRawShape>> = {
  TooManyValues: { max_count: z.int() },
  RecordInvalid: { details },
  TooManyJobs: {
    current_job_ids: z.array(z.string()).describe('The working jobs, the oldest first'),
  },
};

const schemas = new Map<ErrorWord, z.ZodObject>();

/** The body of an answer that says this word. */
export function errorSchema(word: ErrorWord): z.ZodObject {
  const known = schemas.get(word);
  if (known) return known;
  const schema = z
    .strictObject({
      error: z.literal(word),
      description: z.string().min(1).describe('A sentence for people'),
      ...EXTRA[word],
    })
    .meta({ id: `${word}Error` });
  schemas.set(word, schema);
  return schema;
}
