import type { components, operations } from './openapi.js';

/** What may be said of a job beside its type and tasks. Times are RFC 3339, with a zone. */
export interface JobOptions {
  /** For people, and to filter by; 200 characters at most. */
  readonly name?: string | null;
  /** Kept as it is; 4 KiB of JSON at most. */
  readonly metadata?: Readonly<Record<string, unknown>> | null;
  /** −100…100, default 0, higher first. */
  readonly priority?: number;
  /** How often a task may be tried: 1…25, default 3. */
  readonly max_attempts?: number;
  /** When more tasks than this have failed the job ends as `failed`; null: no limit. */
  readonly max_failures?: number | null;
  /** Seconds for one attempt of a task: 1…86,400, default 30. */
  readonly task_timeout?: number;
  /** No task begins before. */
  readonly start_at?: string | null;
  /** A job that still works then ends as `failed`. */
  readonly deadline?: string | null;
  /** Is told of the end of the job, signed. */
  readonly callback_url?: string | null;
}

export interface Submission extends JobOptions {
  /** A task type of the service, such as `tickets.update`. */
  readonly type: string;
  readonly tasks: readonly unknown[];
}

interface Paging {
  /** Rows on a page. */
  readonly size?: number;
  /** `meta.after_cursor` of the page before. */
  readonly after?: string;
  /** `meta.before_cursor` of the page behind. */
  readonly before?: string;
}

export interface JobFilter extends Paging {
  readonly status?: components['schemas']['JobStatus']['status'];
  readonly type?: string;
  /** A part of the name, as the service's documentation has it. */
  readonly name?: string;
  /** The email address of who submitted the job. */
  readonly createdBy?: string;
}

export interface ResultFilter extends Paging {
  /** Only those that succeeded, or only those that failed. */
  readonly success?: boolean;
}

export interface Page<T> {
  readonly items: T[];
  readonly meta: components['schemas']['PageMeta'];
}

type ListQuery = NonNullable<operations['listJobs']['parameters']['query']>;
type ResultQuery = NonNullable<operations['listResults']['parameters']['query']>;
type SubmissionQuery = NonNullable<operations['submitJob']['parameters']['query']>;

export const filterQuery = ({ status, type, name, createdBy, ...page }: JobFilter): ListQuery => ({
  ...pageQuery(page),
  ...(status !== undefined && { 'filter[status]': status }),
  ...(type !== undefined && { 'filter[type]': type }),
  ...(name !== undefined && { 'filter[name]': name }),
  ...(createdBy !== undefined && { 'filter[created_by]': createdBy }),
});

export const resultQuery = ({ success, ...page }: ResultFilter): ResultQuery => ({
  ...pageQuery(page),
  ...(success !== undefined && { 'filter[success]': success ? 'true' : 'false' }),
});

const pageQuery = ({ size, after, before }: Paging) => ({
  ...(size !== undefined && { 'page[size]': String(size) }),
  ...(after !== undefined && { 'page[after]': after }),
  ...(before !== undefined && { 'page[before]': before }),
});

/** Options as the query of a streamed submission says them: what is null is left out, and metadata is JSON text. */
export function optionsQuery({ metadata, ...options }: JobOptions): SubmissionQuery {
  const given = Object.entries(options).filter(([, value]) => (value ?? null) !== null);
  return { ...Object.fromEntries(given), ...(metadata && { metadata: JSON.stringify(metadata) }) };
}
