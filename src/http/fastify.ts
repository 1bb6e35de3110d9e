import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { Config } from '../config/config.js';
import { DomainError, notFound } from '../errors.js';
import { Admission, type AdmissionLimits } from './admission.js';
import { answerClientError } from './client-error.js';
import { sendError } from './error.filter.js';
import { parseJson } from './json-body.js';
import { KnownPaths } from './known-paths.js';
import { rememberBody } from './keyed-request.js';
import { originForm } from './origin.js';
import { QUICK_LANE, QuickLane } from './quick-lane.js';
import { isStreamed, takeBodies } from './request-body.js';
import { UnreadBodies } from './unread-bodies.js';

/** The HTTP edge: how bytes become requests. What the contract tolerates or refuses of every request stands here. */

const API_JSON = /^(\/api\/v2\/.*[^/])\.json$/;

/** Each path answers with and without `.json`: rewritten once, here, so that no route knows of it. */
export function rewriteUrl(request: Pick<IncomingMessage, 'url'>): string {
  const url = originForm(request.url ?? '/');
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  const [, base] = API_JSON.exec(path) ?? [];
  return base === undefined ? url : base + (query < 0 ? '' : url.slice(query));
}

/** So long a connection waits for its next request. */
const KEEP_ALIVE_MS = 72_000;

const TIMES = { idleMs: 60_000, bodyMs: 120_000, lingerMs: 5_000 };

type Limits = AdmissionLimits & Pick<Config, 'MAX_BODY_BYTES' | 'MAX_UPLOAD_BYTES' | 'DRAIN_SECONDS'>;

export function fastifyAdapter(config: Limits, times: Partial<typeof TIMES> = {}): FastifyAdapter {
  const { lingerMs, ...limits } = { ...TIMES, ...times };
  const unread = new UnreadBodies(lingerMs);
  const maxBodyBytes = config.MAX_BODY_BYTES;
  const lane = new QuickLane();
  const adapter = new FastifyAdapter({
    serverFactory: (ordinary: RequestListener) => {
      const server = lane.server(ordinary);
      // How long a body may take is another matter for a stream than for JSON: request-body.ts sees to it. Node's own limit for
      // the headers stays (as an option of createServer this would end it): a client that opens a connection and says nothing
      // does not keep it.
      server.requestTimeout = 0;
      server.keepAliveTimeout = KEEP_ALIVE_MS;
      return server;
    },
    bodyLimit: maxBodyBytes,
    genReqId: () => randomUUID(),
    rewriteUrl,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 65_536 },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    // A URL that the router cannot read. No hook runs for it.
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      unread.keepOpen(request.raw, reply.raw);
      reply.raw.once('finish', () => unread.discard(request.raw));
      void reply.header('X-Request-Id', request.id);
      sendError(error, request, reply);
    },
  });
  const instance = adapter.getInstance();
  instance.decorate(QUICK_LANE, lane);
  instance.addHook('preClose', (done) => {
    lane.close();
    done();
  });
  // First of all hooks, so that every answer has it, also a refusal.
  instance.addHook('onRequest', (request, reply, done) => {
    void reply.header('X-Request-Id', request.id);
    done();
  });
  refuseUnknownPaths(instance);
  const admission = new Admission(config);
  admission.guard(instance, isStreamed);
  instance.removeAllContentTypeParsers();
  instance.addContentTypeParser<Buffer>(
    /^application\/(?:[\w.-]+\+)?json(?:$|[\s;])/i,
    { parseAs: 'buffer', bodyLimit: maxBodyBytes },
    (request: FastifyRequest, body: Buffer, done) => {
      // Real clients send bodies with DELETE and a JSON content type without a body.
      if (body.length === 0 || request.method === 'DELETE') {
        done(null, undefined);
        return;
      }
      try {
        admission.measured(request, body.length);
        rememberBody(request, body);
        done(null, parseJson(body));
      } catch (error) {
        done(error as Error);
      }
    },
  );
  takeBodies(
    instance,
    { maxStreamBytes: config.MAX_UPLOAD_BYTES, drainMs: config.DRAIN_SECONDS * 1_000, ...limits },
    unread,
  );
  return adapter;
}

/** Answers these paths alone; all others are unknown. */
export function serveOnly(adapter: FastifyAdapter, paths: readonly string[]): void {
  adapter.getInstance().addHook('onRequest', (request, _, done) => {
    done(paths.includes(request.url.split('?', 1)[0] ?? '') ? undefined : notFound());
  });
}

/** Before the body is read: 405 for a method that a known path does not have, 404 for a path that is not known. */
function refuseUnknownPaths(instance: FastifyInstance): void {
  const known = new KnownPaths();
  instance.addHook('onRoute', ({ url, method }) => known.add(url, method));
  instance.addHook('onRequest', (request, reply, done) => {
    done(request.is404 ? refusal(known, request, reply) : undefined);
  });
}

function refusal(known: KnownPaths, request: FastifyRequest, reply: FastifyReply): DomainError {
  const allowed = known.methodsOf(request.url.split('?', 1)[0] ?? '');
  if (allowed.length === 0) return notFound();
  void reply.header('Allow', allowed.join(', '));
  return new DomainError(
    'MethodNotAllowed',
    `Expected one of ${allowed.join(', ')} here, got: ${request.method}`,
  );
}
