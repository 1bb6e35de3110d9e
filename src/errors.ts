/**
 * What can go wrong in the domain, as data. A domain error carries its word (the `error` of the answer), a sentence for
 * people and what the caller may want to know. It knows nothing of HTTP: the one filter in src/http maps words to codes.
 */
export type ErrorWord =
  | 'InvalidJSON'
  | 'InvalidRequest'
  | 'TooManyValues'
  | 'Unauthorized'
  | 'Forbidden'
  | 'RecordNotFound'
  | 'MethodNotAllowed'
  | 'RequestTimeout'
  | 'JobFinished'
  | 'JobWorking'
  | 'RequestInProgress'
  | 'NothingToRetry'
  | 'PayloadTooLarge'
  | 'UnsupportedMediaType'
  | 'RecordInvalid'
  | 'IdempotencyMismatch'
  | 'TooManyJobs'
  | 'TooManyRequests'
  | 'InternalError'
  | 'Unavailable';

/** One complaint about one field: `{ field: [{ description }] }` in the answer's `details`. */
export interface FieldError {
  /** Path of the field as the client wrote it: `tasks.3.title`. */
  readonly field: string;
  readonly description: string;
  /** The task's position, when the complaint is about a task. */
  readonly position?: number;
}

export interface DomainErrorData {
  readonly fields?: readonly FieldError[];
  /** Seconds after which another try makes sense. */
  readonly retryAfterSeconds?: number;
  /** Further top-level members of the answer, such as `max_count`. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export class DomainError extends Error {
  constructor(
    readonly word: ErrorWord,
    description: string,
    readonly data: DomainErrorData = {},
  ) {
    super(description);
    this.name = word;
  }
}

export const notFound = (): DomainError => new DomainError('RecordNotFound', 'Not found');

export const forbidden = (description: string): DomainError => new DomainError('Forbidden', description);

/** One for all: who refuses thousands a second has no time for their stacks, and nobody reads them. */
const BUSY = new DomainError('Unavailable', 'Too many requests are waiting; nothing of this one was done', {
  retryAfterSeconds: 1,
});

/** 503 of a process that has all that it can do: nothing of the request was done. */
export const busy = (): DomainError => BUSY;

/** 422 that names each field and what was expected. */
export const invalid = (fields: readonly FieldError[]): DomainError =>
  new DomainError('RecordInvalid', 'Record validation errors', { fields });

/**
 * A write on behalf of a lease found that the lease is another's, or the job no longer working: it changed nothing, and
 * the worker must drop the chunk. Never seen by a client.
 */
export class LeaseLost extends Error {
  constructor(
    readonly jobId: string,
    readonly chunkId: bigint,
  ) {
    super(`lease lost: chunk ${chunkId} of job ${jobId}`);
    this.name = 'LeaseLost';
  }
}

/** The process cannot start. The message is the one sentence to print, without a stack; it never holds a secret. */
export class StartError extends Error {
  override readonly name: string = 'StartError';
}

/** The words of whatever was thrown. Connecting to a name of several addresses fails with several errors and no message of its own. */
export function messageOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  if ('message' in error && typeof error.message === 'string' && error.message !== '') return error.message;
  if ('errors' in error && Array.isArray(error.errors)) return error.errors.map(messageOf).join('; ');
  return 'an error without words';
}
