import type { ErrorWord } from '../errors.js';

/** What each word of an error means, for the document. */
export const MEANING: Readonly<Record<ErrorWord, string>> = {
  InvalidJSON:
    'the body is no JSON, or says what cannot be kept (NUL characters, lone surrogates, infinite numbers)',
  InvalidRequest: 'the request cannot be understood',
  TooManyValues: 'more values than `max_count`',
  Unauthorized: 'no credentials, or wrong ones',
  Forbidden:
    'only the submitter of the job and admins of the account may do this, or a page of another site made the browser ask it',
  RecordNotFound: 'the account has no such thing',
  MethodNotAllowed: 'the path has no such method; `Allow` names those it has',
  RequestTimeout: 'the body did not arrive in time',
  JobFinished: 'the job has ended',
  JobWorking: 'the job has not ended',
  RequestInProgress: 'a request with this Idempotency-Key is under way',
  NothingToRetry: 'every task has succeeded',
  PayloadTooLarge: 'the body is larger than the limit',
  UnsupportedMediaType: 'the body is of a type or an encoding that is not taken here',
  RecordInvalid: 'what was sent is not as expected; `details` says what was, by field',
  IdempotencyMismatch: 'the Idempotency-Key came with another request before',
  TooManyJobs: 'the account has as many working jobs as it may, `current_job_ids`',
  TooManyRequests: 'too many requests, or too many wrong credentials',
  InternalError: 'something went wrong in the service',
  Unavailable: 'the database cannot be reached now',
};
