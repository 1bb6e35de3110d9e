import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DomainError } from '../errors.js';
import { answerClientError } from './client-error.js';
import { bodyTooLarge, StreamedBody } from './streamed-body.js';
import { sendsBody, type UnreadBodies } from './unread-bodies.js';

/** How a body arrives: inflated, within a time, streamed where a route asks for it, and out of the way of the answer. */

/** On a route: it takes `application/x-ndjson`, as a StreamedBody. */
export const TAKES_STREAM = { takesStream: true };

export interface BodyLimits {
  /** Of a streamed body, inflated. */
  readonly maxStreamBytes: number;
  /** So long a streamed body may pause. Its whole time is not limited: a gigabyte over a slow line takes hours. */
  readonly idleMs: number;
  /** So long any other body may take. */
  readonly bodyMs: number;
  /** So long a streamed body may go on when the process stops. */
  readonly drainMs: number;
}

export function takeBodies(instance: FastifyInstance, limits: BodyLimits, unread: UnreadBodies): void {
  inflateBodies(instance);
  limitTime(instance, limits.bodyMs);
  takeStreams(instance, limits);
  instance.addHook('onSend', (request, reply, _, done) => {
    unread.keepOpen(request.raw, reply.raw);
    done();
  });
  instance.addHook('onResponse', (request, _, done) => {
    unread.discard(request.raw);
    done();
  });
}

const takesStream = (request: FastifyRequest): boolean =>
  (request.routeOptions.config as Partial<typeof TAKES_STREAM>).takesStream === true;

const NDJSON = /^application\/x-ndjson(?:$|[\s;])/i;

/** Whether the body is handed to the route piece by piece. */
export const isStreamed = (request: FastifyRequest): boolean =>
  takesStream(request) && NDJSON.test(request.headers['content-type'] ?? '');

/** A body on a DELETE is thrown away as it is. */
const hasBody = (request: FastifyRequest): boolean => request.method !== 'DELETE' && sendsBody(request.raw);

function inflateBodies(instance: FastifyInstance): void {
  instance.addHook('preParsing', (request, _, payload, done) => {
    const encoding = request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
    if (encoding === 'identity' || !hasBody(request)) done(null, payload);
    else if (encoding === 'gzip' || encoding === 'x-gzip') done(null, inflated(request.raw));
    else
      done(
        new DomainError(
          'UnsupportedMediaType',
          'Expected a body without a Content-Encoding, or one of Content-Encoding gzip',
        ),
      );
  });
}

/** Piped, not by `pipeline`: that would end the connection with the inflation, and with it the answer. */
function inflated(raw: IncomingMessage): Readable {
  const gunzip = createGunzip();
  // Fastify compares it with the Content-Length.
  Object.defineProperty(gunzip, 'receivedEncodedLength', { get: () => gunzip.bytesWritten });
  raw.on('error', (error) => gunzip.destroy(error));
  gunzip.on('error', () => raw.unpipe(gunzip));
  return raw.pipe(gunzip);
}

function limitTime(instance: FastifyInstance, bodyMs: number): void {
  instance.addHook('preParsing', (request, reply, payload, done) => {
    const { raw } = request;
    // A client that has gone already says so no more.
    if (hasBody(request) && !isStreamed(request) && !raw.socket.destroyed) {
      const timer = setTimeout(() => {
        const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
        answerClientError(late, raw.socket);
      }, bodyMs);
      const stop = () => clearTimeout(timer);
      raw.once('end', stop).once('close', stop);
      reply.raw.once('close', stop);
    }
    done(null, payload);
  });
}

function takeStreams(instance: FastifyInstance, limits: BodyLimits): void {
  const { maxStreamBytes, idleMs, drainMs } = limits;
  const stopping = new AbortController();
  instance.addHook('preClose', (done) => {
    setTimeout(() => stopping.abort(), drainMs).unref();
    done();
  });
  instance.addContentTypeParser(NDJSON, (request, payload, done) => {
    if (!takesStream(request)) {
      done(new DomainError('UnsupportedMediaType', 'Expected a body of type application/json'));
      return;
    }
    const isDeflated = payload !== request.raw;
    if (!isDeflated && Number(request.headers['content-length'] ?? 0) > maxStreamBytes) {
      done(bodyTooLarge(maxStreamBytes));
      return;
    }
    done(null, new StreamedBody(payload, { maxBytes: maxStreamBytes, idleMs, signal: stopping.signal }));
  });
}
