import { z } from 'zod';
import { pageAnswerShape } from '../http/paging.js';
import { CALLBACK_STATES, JOB_STATES } from './job.js';

/** The shapes of answers about jobs: they document them, type what makes them, and the tests hold each answer against them. */

const printedId = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .describe('32 lower-case hex digits: a UUIDv7 without its dashes');
const time = z.iso.datetime().describe('RFC 3339, UTC');
const count = z.int().min(0);
const json = z.unknown();

/** What the polled and the full resource both say. */
const state = {
  id: printedId,
  url: z.url().describe('Where to poll the job'),
  total: count.min(1).describe('Tasks in the job'),
  progress: count.describe('Tasks processed so far, successes and failures'),
  status: z
    .enum(JOB_STATES)
    .describe('A job that has not begun or is paused is `working`; `completed` may have failed tasks'),
  message: z
    .string()
    .nullable()
    .describe(
      'What the handler last said; after the end `Completed at …`, `Killed at …` or `Failed at …: why`',
    ),
};

export const jobStatus = z
  .strictObject({
    ...state,
    results: z
      .array(json)
      .describe('What each processed task returned, by its position in the job; empty in lists'),
  })
  .meta({ id: 'JobStatus', description: 'The polled resource' });

/** A single status, in its envelope where ENVELOPE says so. */
export const SINGLE_STATUS = 'SingleJobStatus';
export const singleStatusContent = { 'application/json': SINGLE_STATUS };

/** @param envelope as ENVELOPE says */
export const singleStatusSchema = (envelope: 'none' | 'job_status'): z.ZodType =>
  envelope === 'none' ? jobStatus : z.strictObject({ job_status: jobStatus });

/** What is sent to `callback_url`. */
export const callbackMessage = z
  .strictObject({
    type: z.enum(JOB_STATES.filter((one) => one !== 'working').map((one) => `job.${one}`)),
    timestamp: time.describe('When the job ended'),
    data: jobStatus,
  })
  .meta({ id: 'CallbackMessage' });

export const callbackHeaders = z.object({
  'webhook-id': z.string().describe('The same at every try, for the receiver to know a repetition'),
  'webhook-timestamp': z.string().describe('Of the try, in seconds since 1970'),
  'webhook-signature': z.string().describe('By CALLBACK_SECRET, as https://www.standardwebhooks.com has it'),
});

export const jobStatusList = z.strictObject({ job_statuses: z.array(jobStatus), ...pageAnswerShape });
export const jobStatusMany = z.strictObject({ job_statuses: z.array(jobStatus) });

export const fullJob = z
  .strictObject({
    ...state,
    type: z.string().describe('The type of its tasks'),
    name: z.string().nullable(),
    metadata: z.record(z.string(), json).nullable().describe('As it was submitted'),
    priority: z.int().min(-100).max(100),
    counts: z
      .strictObject({
        succeeded: count,
        failed: count,
        retrying: count.describe('They wait for another attempt'),
        running: count.describe('They are with a worker'),
        pending: count.describe('They have not begun'),
      })
      .describe('Of a working job, these add up to `total`'),
    max_attempts: count,
    max_failures: count.nullable(),
    task_timeout: count.describe('Seconds'),
    start_at: time.nullable(),
    deadline: time.nullable(),
    callback_url: z.string().nullable().describe('Is told of the end of the job'),
    callback: z
      .strictObject({
        state: z
          .enum(CALLBACK_STATES)
          .describe('`pending` from the submission until it is delivered or given up'),
        attempts: count,
        last_error: z.string().nullable(),
      })
      .nullable()
      .describe('How far the request to `callback_url` has come'),
    paused: z.boolean(),
    created_by: z.string().describe('The email address of who submitted it'),
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
    expires_at: time.nullable().describe('When the job and its results are removed'),
    retry_of: printedId.nullable().describe('The job whose tasks this one tries again'),
    retried_by: printedId.nullable().describe('The job that tries tasks of this one again'),
    eta_seconds: z.number().min(0).nullable().describe('What is left at the rate so far'),
  })
  .meta({ id: 'Job', description: 'The full resource' });

export const jobList = z.strictObject({ jobs: z.array(fullJob), ...pageAnswerShape });

/** The data of `stats` among the events of all jobs. */
export const liveStats = z
  .strictObject({
    at: time,
    waiting: count.describe(
      'Tasks of working jobs that wait, be it for a worker, another attempt, or a paused job to go on',
    ),
    running: count.describe('Tasks that are with a worker'),
    processed: count.describe(
      'Tasks processed since this process first looked; only differences say something, and another process counts anew',
    ),
    failed: count.describe('Of these, the failed ones'),
    working_jobs: count,
  })
  .meta({ id: 'LiveStats' });

/** The data of `jobs` among the events of all jobs. */
export const liveJobs = z
  .strictObject({
    jobs: z.array(fullJob).describe('As they are now; those that are new as well'),
    removed: z.array(printedId).optional().describe('Ids of deleted and expired jobs, of the newest 1,000'),
    snapshot: z.literal(true).optional().describe('All working jobs are among `jobs`'),
  })
  .meta({ id: 'LiveJobs' });

const resultOf = {
  index: count.describe('Position of the task in the job'),
  attempts: count.min(1).describe('How often it was tried'),
};

export const taskResult = z
  .discriminatedUnion('success', [
    z.strictObject({ ...resultOf, success: z.literal(true), result: json }),
    z.strictObject({
      ...resultOf,
      success: z.literal(false),
      result: json,
      error: z
        .string()
        .describe('A CamelCase word: `TaskTimeout`, `WorkerCrashed`, `HandlerError`, or the handler’s own'),
      task: json.describe('The input of the task'),
    }),
  ])
  .meta({ id: 'TaskResult' });

export const resultList = z.strictObject({ results: z.array(taskResult), ...pageAnswerShape });

/** Of an answer that made a job, or found it made. */
export const submittedHeaders = z.object({ Location: z.url().describe('Where to poll the job') });

export const jobPath = z.object({
  id: z
    .string()
    .regex(/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i)
    .describe('The id of a job, with or without dashes'),
});

export const submissionHeaders = z.object({
  'Idempotency-Key': z
    .string()
    .regex(/^[\x20-\x7e]{1,255}$/)
    .optional()
    .describe(
      'The same key and request within 24 hours get the first job again; it is freed when the request is refused',
    ),
  'Content-Encoding': z.enum(['gzip', 'x-gzip', 'identity']).optional(),
});

/** How any submission is answered. */
export const submissionAnswers = {
  202: {
    description: 'The job is made, and survives any crash from here on',
    headers: submittedHeaders,
    content: singleStatusContent,
  },
  200: {
    description: 'The job that an earlier request with this Idempotency-Key has made, as it is now',
    headers: submittedHeaders.extend({ 'Idempotency-Replayed': z.literal('true') }),
    content: singleStatusContent,
  },
};

export const SUBMISSION_ERRORS = [
  'TooManyValues',
  'RecordInvalid',
  'RequestInProgress',
  'IdempotencyMismatch',
  'RecordNotFound',
  'TooManyJobs',
] as const;

/** The body of POST /api/v2/jobs: the types that a running service knows. */
export const SUBMISSION = 'Submission';
