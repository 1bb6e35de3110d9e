import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError, type ErrorWord } from '../errors.js';
import { Outage } from '../outage.js';
import { isDatabaseAway, whyAway } from '../sql-errors.js';
import { isChallenged } from './challenge.js';
import { bodyError, bodyTooLarge } from './streamed-body.js';

/** The one place that knows which status code an error's word has. */
const STATUS_OF: Readonly<Record<ErrorWord, number>> = {
  InvalidJSON: 400,
  InvalidRequest: 400,
  TooManyValues: 400,
  Unauthorized: 401,
  Forbidden: 403,
  RecordNotFound: 404,
  MethodNotAllowed: 405,
  RequestTimeout: 408,
  JobFinished: 409,
  JobWorking: 409,
  RequestInProgress: 409,
  NothingToRetry: 409,
  PayloadTooLarge: 413,
  UnsupportedMediaType: 415,
  RecordInvalid: 422,
  IdempotencyMismatch: 422,
  TooManyJobs: 429,
  TooManyRequests: 429,
  InternalError: 500,
  Unavailable: 503,
};

/** The status code of answers that say this word. */
export const statusOf = (word: ErrorWord): number => STATUS_OF[word];

const CHALLENGE = 'Basic realm="Tally", charset="UTF-8"';
const UNAVAILABLE_RETRY_SECONDS = 2;

const log = new Logger('Http');
const outage = new Outage(log, 'a request is answered 503');

/** Turns whatever was thrown into the contract's answer. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendError(thrown, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}

/** What it does not know is logged here, once, and told to nobody. */
export function sendError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (reply.sent) return;
  const error = understand(thrown, request);
  if (error.word === 'Unauthorized' && isChallenged(request))
    void reply.header('WWW-Authenticate', CHALLENGE);
  if (error.data.retryAfterSeconds !== undefined)
    void reply.header('Retry-After', String(Math.max(1, Math.ceil(error.data.retryAfterSeconds))));
  void reply
    .status(STATUS_OF[error.word])
    .header('Content-Type', 'application/json; charset=utf-8')
    .send(JSON.stringify(errorBody(error)));
}

function understand(thrown: unknown, request: FastifyRequest): DomainError {
  if (thrown instanceof DomainError) return thrown;
  const known = bodyError(thrown) ?? fromFramework(thrown, request);
  if (known) return known;
  const about = { request: request.id, method: request.method, path: pathOf(request) };
  if (isDatabaseAway(thrown)) {
    outage.met(thrown, about);
    return new DomainError('Unavailable', whyAway(thrown), {
      retryAfterSeconds: UNAVAILABLE_RETRY_SECONDS,
    });
  }
  log.error({ ...about, err: thrown, msg: 'a request failed' });
  return new DomainError('InternalError', 'Something went wrong here');
}

/** The answer's body. `details` is keyed by field, each with its complaints, as this API family does it. */
export function errorBody(error: DomainError): object {
  // Without a prototype: a field may be named `constructor` or `__proto__`.
  const details = Object.create(null) as Record<string, object[]>;
  for (const { field, description, position } of error.data.fields ?? [])
    (details[field] ??= []).push({ description, ...(position !== undefined && { position }) });
  return {
    error: error.word,
    description: error.message,
    ...(error.data.fields && { details }),
    ...error.data.extra,
  };
}

/** What Fastify and Nest themselves throw before any code of ours runs. */
function fromFramework(thrown: unknown, request: FastifyRequest): DomainError | null {
  if (!(thrown instanceof Error)) return null;
  const { code, statusCode } = thrown as Error & { code?: unknown; statusCode?: unknown };
  const status = thrown instanceof HttpException ? thrown.getStatus() : statusCode;
  switch (status) {
    case 404:
      return new DomainError('RecordNotFound', 'Not found');
    case 405:
      return new DomainError('MethodNotAllowed', 'This method is not allowed here');
    case 413:
      return bodyTooLarge(request.routeOptions.bodyLimit);
    case 415:
      return new DomainError('UnsupportedMediaType', 'Expected a body of type application/json');
    case 400:
      return code === 'FST_ERR_CTP_INVALID_CONTENT_LENGTH'
        ? new DomainError('InvalidRequest', 'The request body does not have the length that was announced')
        : new DomainError('InvalidRequest', 'The request could not be understood');
    default:
      return null;
  }
}

const pathOf = (request: FastifyRequest): string => request.url.split('?')[0] ?? '';
