import { z } from 'zod';
import { JOB_STATES } from './job.js';

/** The shapes of requests about jobs. One schema validates, types and documents each. */

const METADATA_BYTES = 4096;

/** Kept as it came: z.record would copy it, less any key `__proto__`. */
const metadata = z
  .unknown()
  .meta({ type: 'object' })
  .refine((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
    error: 'expected an object',
    abort: true,
  })
  .refine(
    (value) => Buffer.byteLength(JSON.stringify(value)) <= METADATA_BYTES,
    'expected at most 4 KiB as JSON',
  )
  .transform((value) => value as Readonly<Record<string, unknown>>);

const integerBetween = (min: number, max: number) => {
  const expected = `expected a whole number from ${min} to ${max}`;
  return z.int(expected).min(min, expected).max(max, expected);
};

/** RFC 3339, between now-ish and what Postgres and JavaScript both can say. */
const time = z.iso
  .datetime({ offset: true, error: 'expected a time as in 2026-01-31T12:00:00Z' })
  .transform((text) => new Date(text))
  .refine(
    (date) => date.getUTCFullYear() >= 1970 && date.getUTCFullYear() < 10_000,
    'expected a time before the year 10000',
  )
  .meta({ id: 'Time', description: 'RFC 3339' });

/** Which address its name stands for is looked at when it is called: it may be another by then. */
const callbackUrl = z
  .string('expected a URL')
  .max(2_000, 'expected at most 2000 characters')
  .refine((text) => /^https?:\/\/[^\s\\\p{Cc}]+$/iu.test(text) && URL.canParse(text), {
    error: 'expected a URL that begins with http:// or https://',
    abort: true,
  })
  .refine((text) => !text.includes('#'), 'expected a URL without a fragment')
  .refine((text) => {
    const { username, password } = new URL(text);
    return username === '' && password === '';
  }, 'expected a URL without credentials');

/** What a submission says beside its type and tasks. */
export const jobOptions = z.object({
  name: z.string('expected a string').max(200, 'expected at most 200 characters').nullish(),
  metadata: metadata.nullish(),
  priority: integerBetween(-100, 100).default(0),
  max_attempts: integerBetween(1, 25).default(3),
  max_failures: integerBetween(0, 2_147_483_647).nullish(),
  task_timeout: integerBetween(1, 86_400).default(30),
  start_at: time.nullish(),
  deadline: time.nullish(),
  callback_url: callbackUrl.nullish().describe('Is told of the end of the job, signed'),
});
export type JobOptions = z.output<typeof jobOptions>;

/** The body of POST /api/v2/jobs less its tasks, which are checked one by one against their type's schema. */
export const submissionHead = z.strictObject({
  type: z.string('expected the name of a task type'),
  ...jobOptions.shape,
});

/** Postgres cannot even look for a NUL. */
const filterText = z
  .string('expected one value')
  .refine((text) => !text.includes('\0'), 'expected text without NUL characters');

export const jobFilters = {
  'filter[status]': z.enum(JOB_STATES, `expected one of ${JOB_STATES.join(', ')}`).optional(),
  'filter[type]': filterText.optional(),
  'filter[name]': filterText.optional(),
  'filter[created_by]': filterText
    .toLowerCase()
    .optional()
    .describe('The email address of who submitted the job'),
};

export interface JobFilter {
  readonly status?: string | undefined;
  readonly type?: string | undefined;
  readonly name?: string | undefined;
  /** An email address in lower case. */
  readonly createdBy?: string | undefined;
}

export const jobFilter = (query: {
  'filter[status]'?: string | undefined;
  'filter[type]'?: string | undefined;
  'filter[name]'?: string | undefined;
  'filter[created_by]'?: string | undefined;
}): JobFilter => ({
  status: query['filter[status]'],
  type: query['filter[type]'],
  name: query['filter[name]'],
  createdBy: query['filter[created_by]'],
});
