import type { z } from 'zod';
import type { Config } from '../config/config.js';
import { toCursor } from '../http/paging.js';
import type { fullJob } from './job.answers.js';
import { printJobId } from './job.js';
import type { KeptJob, StatusHead, StatusRow } from './job.store.js';

/** How a job looks to a client. */

/** @param origin such as `https://api.example.com` */
export const statusUrl = (origin: string, id: string): string =>
  `${origin}/api/v2/job_statuses/${printJobId(id)}.json`;

/** Where the results begin that follow a position. @param id in any of its forms */
export const resultsUrl = (origin: string, id: string, after: number): string =>
  `${origin}/api/v2/jobs/${printJobId(id).toLowerCase()}/results.json?page%5Bafter%5D=${toCursor(String(after))}`;

/** The header Link of a status whose body has not all results. */
export const nextResults = (origin: string, id: string, after: number): string =>
  `<${resultsUrl(origin, id, after)}>; rel="next"`;

/** The seven keys, in their order, as JSON text; the results are spliced in as the database wrote them. */
export const statusJson = (row: StatusRow, origin: string): string =>
  `${statusHead(row, origin)}${row.results}}`;

/** How a single status is written: where its url leads, and what stands around it. Those in a list stand bare. */
export interface StatusForm {
  /** Such as `https://api.example.com`. */
  readonly origin: string;
  readonly envelope: Config['ENVELOPE'];
}

/** A single status as JSON text. @param results JSON text as well */
export const singleStatus = (head: StatusHead, results: string, form: StatusForm): string =>
  `${singleHead(head, form)}${results}${form.envelope === 'none' ? '}' : '}}'}`;

/** A single status up to its results: all of it that a version of the job does not settle. */
export const singleHead = (head: StatusHead, { origin, envelope }: StatusForm): string =>
  `${envelope === 'none' ? '' : '{"job_status":'}${statusHead(head, origin)}`;

function statusHead(row: StatusHead, origin: string): string {
  const head = JSON.stringify({
    id: printJobId(row.id),
    url: statusUrl(origin, row.id),
    total: row.total,
    progress: row.progress,
    status: row.status,
    message: row.message,
  });
  return `${head.slice(0, -1)},"results":`;
}

/** The full resource: the seven keys less the results, and all else there is to know. */
export function jobView(row: KeptJob, origin: string): z.output<typeof fullJob> {
  const isWorking = row.status === 'working';
  return {
    id: printJobId(row.id),
    url: statusUrl(origin, row.id),
    total: row.total,
    progress: row.progress,
    status: row.status,
    message: row.message,
    type: row.type,
    name: row.name,
    metadata: row.metadata === null ? null : (JSON.parse(row.metadata) as Record<string, unknown>),
    priority: row.priority,
    counts: {
      succeeded: row.progress - row.failed,
      failed: row.failed,
      retrying: row.retrying,
      running: row.running,
      pending: isWorking ? row.total - row.progress - row.retrying - row.running : 0,
    },
    max_attempts: row.maxAttempts,
    max_failures: row.maxFailures,
    task_timeout: row.taskTimeoutSeconds,
    start_at: row.startAt?.toISOString() ?? null,
    deadline: row.deadline?.toISOString() ?? null,
    callback_url: row.callbackUrl,
    callback: callbackView(row),
    paused: row.paused,
    created_by: row.createdBy,
    created_at: row.createdAt.toISOString(),
    started_at: row.startedAt?.toISOString() ?? null,
    finished_at: row.finishedAt?.toISOString() ?? null,
    expires_at: row.expiresAt?.toISOString() ?? null,
    retry_of: row.retryOf && printJobId(row.retryOf),
    retried_by: row.retriedBy && printJobId(row.retriedBy),
    eta_seconds: row.etaSeconds,
  };
}

/** How far the callback has come; null: the job has none. */
const callbackView = ({ callbackState: state, callbackAttempts, callbackError }: KeptJob) =>
  state === null ? null : { state, attempts: callbackAttempts ?? 0, last_error: callbackError };
