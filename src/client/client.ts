import createFetchClient, { type Client, type Middleware } from 'openapi-fetch';
import { authorizationOf, type Credentials } from './credentials.js';
import { TallyError } from './errors.js';
import type { components, paths } from './openapi.js';
import type { JobFilter, JobOptions, Page, ResultFilter, Submission } from './requests.js';
import { filterQuery, optionsQuery, resultQuery } from './requests.js';
import { waitForEnd, type Look, type LookRequest, type WaitOptions } from './wait-for-job.js';

export type { Credentials } from './credentials.js';
export { TallyError, type FieldProblem } from './errors.js';
export { ndjson } from './ndjson.js';
export type { JobFilter, JobOptions, Page, ResultFilter, Submission } from './requests.js';
export type { WaitOptions } from './wait-for-job.js';
export type { components, operations, paths } from './openapi.js';

/** The polled resource: how far a job is, and the first of its results. */
export type JobStatus = components['schemas']['JobStatus'];
/** The full resource: all there is to know of a job but its results. */
export type Job = components['schemas']['Job'];
/** What one task has become. */
export type TaskResult = components['schemas']['TaskResult'];
export type PageMeta = components['schemas']['PageMeta'];

export interface ClientOptions {
  /** Where the service answers, such as `https://tally.example.com`; in a browser, '' is the page's own origin. */
  readonly baseUrl: string;
  /** None: the browser's cookie session says who is calling. */
  readonly credentials?: Credentials;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of the fetch there is. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface SubmitOptions extends CallOptions {
  /** 1 to 255 printable ASCII characters: the same key and job within 24 hours get the first job again. */
  readonly idempotencyKey?: string;
}

/** A client of the service at `baseUrl`. It keeps nothing but its options, and may be shared. */
export function createClient(options: ClientOptions): TallyClient {
  return new TallyClient(options);
}

/**
 * Ids of jobs are 32 hex digits (with dashes they are taken too), times RFC 3339 in UTC, durations seconds. Every method
 * throws TallyError when it is refused or gets no answer, and the signal's reason when it is aborted. Nothing is tried again
 * but by `waitForJob`.
 */
export class TallyClient {
  /** Every route of the service, typed by its OpenAPI document. What is refused throws TallyError here too. */
  readonly api: Client<paths>;

  constructor({ baseUrl, credentials, headers = {}, fetch }: ClientOptions) {
    this.api = createFetchClient<paths>({
      baseUrl,
      headers: { ...headers, ...(credentials && { Authorization: authorizationOf(credentials) }) },
      ...(fetch && { fetch }),
    });
    this.api.use(refusalsThrow);
  }

  /** Submits a job. When this returns, the job survives any crash. */
  async submit(job: Submission, { idempotencyKey, signal }: SubmitOptions = {}): Promise<JobStatus> {
    return statusOf(
      await dataOf(
        this.api.POST('/api/v2/jobs.json', {
          // The document names the types of a service with the default settings; another has its own.
          body: job as never,
          ...sent(signal),
          ...keyed(idempotencyKey),
        }),
        signal,
      ),
    );
  }

  /**
   * Submits a job whose tasks are streamed: a million of them take constant memory, here and there.
   * @param tasks NDJSON, a task a line; `ndjson` makes it of any iterable. Browsers send a Blob over any connection, a stream
   *   over HTTP/2 only.
   */
  async submitStream(
    type: string,
    tasks: ReadableStream<Uint8Array> | Blob | string,
    { idempotencyKey, signal, ...options }: JobOptions & SubmitOptions = {},
  ): Promise<JobStatus> {
    return statusOf(
      await dataOf(
        this.api.POST('/api/v2/jobs.json', {
          params: { query: { type, ...optionsQuery(options) } },
          headers: { 'Content-Type': 'application/x-ndjson', ...keyed(idempotencyKey).headers },
          body: tasks as never,
          bodySerializer: (body: unknown) => body,
          duplex: 'half',
          // A stream cannot be sent again to another place. And for redirects that it might follow, Node's fetch keeps a
          // copy of the whole body in memory.
          redirect: 'error',
          ...sent(signal),
        }),
        signal,
      ),
    );
  }

  /** How far a job is, now, with its first results (1,000 unless the service is set otherwise). */
  async status(id: string, { signal }: CallOptions = {}): Promise<JobStatus> {
    const asked = this.api.GET('/api/v2/job_statuses/{id}.json', {
      params: { path: { id } },
      ...sent(signal),
    });
    return statusOf(await dataOf(asked, signal));
  }

  /** The full resource. */
  job(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return dataOf(
      this.api.GET('/api/v2/jobs/{id}.json', { params: { path: { id } }, ...sent(signal) }),
      signal,
    );
  }

  /** One page of the account's jobs, the newest first. */
  async jobs(filter: JobFilter & CallOptions = {}): Promise<Page<Job>> {
    const asked = this.api.GET('/api/v2/jobs.json', {
      params: { query: filterQuery(filter) },
      ...sent(filter.signal),
    });
    const { jobs, meta } = await dataOf(asked, filter.signal);
    return { items: jobs, meta };
  }

  /** One page of a job's results, by their position. */
  async results(id: string, filter: ResultFilter & CallOptions = {}): Promise<Page<TaskResult>> {
    const asked = this.api.GET('/api/v2/jobs/{id}/results.json', {
      params: { path: { id }, query: resultQuery(filter) },
      ...sent(filter.signal),
    });
    const { results, meta } = await dataOf(asked, filter.signal);
    return { items: results, meta };
  }

  /** Every result of a job, as the bytes of one file; the memory it takes is constant. */
  async exportResults(
    id: string,
    format: 'csv' | 'ndjson',
    { success, signal }: Pick<ResultFilter, 'success'> & CallOptions = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const init = {
      params: { path: { id }, query: resultQuery({ ...(success !== undefined && { success }) }) },
      parseAs: 'stream' as const,
      ...sent(signal),
    };
    const asked =
      format === 'csv'
        ? this.api.GET('/api/v2/jobs/{id}/results.csv', init)
        : this.api.GET('/api/v2/jobs/{id}/results.ndjson', init);
    return (await dataOf(asked, signal)) as ReadableStream<Uint8Array>;
  }

  /** Stops a job for good. @returns its last status; killing it again is no error */
  async kill(id: string, { signal }: CallOptions = {}): Promise<JobStatus> {
    const asked = this.api.POST('/api/v2/jobs/{id}/kill.json', { params: { path: { id } }, ...sent(signal) });
    return statusOf(await dataOf(asked, signal));
  }

  /** Running tasks finish, and no new ones start until `resume`. */
  pause(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return dataOf(
      this.api.POST('/api/v2/jobs/{id}/pause.json', { params: { path: { id } }, ...sent(signal) }),
      signal,
    );
  }

  resume(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return dataOf(
      this.api.POST('/api/v2/jobs/{id}/resume.json', { params: { path: { id } }, ...sent(signal) }),
      signal,
    );
  }

  /** A new job of every task that did not succeed. @returns the new job, the same one however often this is called */
  retry(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return dataOf(
      this.api.POST('/api/v2/jobs/{id}/retry.json', { params: { path: { id } }, ...sent(signal) }),
      signal,
    );
  }

  /** Removes an ended job and its results. */
  async remove(id: string, { signal }: CallOptions = {}): Promise<void> {
    await answered(
      this.api.DELETE('/api/v2/jobs/{id}.json', { params: { path: { id } }, ...sent(signal) }),
      signal,
    );
  }

  /**
   * Waits until a job has ended, through restarts of the service, cut connections and rate limits.
   * @returns the status in which it has ended: `completed`, `failed` or `killed`
   */
  waitForJob(id: string, options: WaitOptions<JobStatus> = {}): Promise<JobStatus> {
    return waitForEnd((request) => this.#look(id, request), options);
  }

  async #look(id: string, { waitSeconds, ifNoneMatch, signal }: LookRequest): Promise<Look<JobStatus>> {
    const { data, response } = await answered(
      this.api.GET('/api/v2/job_statuses/{id}.json', {
        params: { path: { id } },
        headers: { Prefer: `wait=${waitSeconds}`, ...(ifNoneMatch && { 'If-None-Match': ifNoneMatch }) },
        cache: 'no-store',
        signal,
      }),
      signal,
    );
    return { status: data === undefined ? null : statusOf(data), etag: response.headers.get('etag') };
  }
}

const refusalsThrow: Middleware = {
  async onResponse({ response }) {
    if (!response.ok && response.status !== 304) throw await TallyError.of(response);
  },
};

const sent = (signal: AbortSignal | undefined): { signal?: AbortSignal } => (signal ? { signal } : {});

const keyed = (key: string | undefined): { headers?: Record<string, string> } =>
  key === undefined ? {} : { headers: { 'Idempotency-Key': key } };

/** Whatever fetch or the reading of a body throws is a TallyError, but for the caller's own abort. */
async function answered<T>(asked: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof TallyError ? error : TallyError.unreachable(error);
  }
}

async function dataOf<T>(asked: Promise<{ data?: T }>, signal: AbortSignal | undefined): Promise<T> {
  return (await answered(asked, signal)).data as T;
}

/** A service with ENVELOPE=job_status wraps each single status. */
function statusOf(data: JobStatus | { readonly job_status: JobStatus }): JobStatus {
  return 'job_status' in data ? data.job_status : data;
}
