import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { DomainError, notFound } from '../errors.js';
import { answerClientError } from './client-error.js';
import { sendError } from './error.filter.js';
import { parseJson } from './json-body.js';
import { KnownPaths } from './known-paths.js';
import { originForm } from './origin.js';

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

/** @param maxBodyBytes of a JSON body */
export function fastifyAdapter(maxBodyBytes: number): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: maxBodyBytes,
    genReqId: () => randomUUID(),
    rewriteUrl,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 200 },
    // A client that opens a connection and says nothing does not keep it.
    requestTimeout: 120_000,
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    // A URL that the router cannot read.
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
      sendError(error, request, reply),
  });
  const instance = adapter.getInstance();
  refuseUnknownPaths(instance);
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
        refuseEncoded(request);
        done(null, parseJson(body));
      } catch (error) {
        done(error as Error);
      }
    },
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
  instance.addHook('onRequest', async (request, reply) => {
    if (!request.is404) return;
    const allowed = known.methodsOf(request.url.split('?', 1)[0] ?? '');
    if (allowed.length === 0) throw notFound();
    void reply.header('Allow', allowed.join(', '));
    throw new DomainError(
      'MethodNotAllowed',
      `Expected one of ${allowed.join(', ')} here, got: ${request.method}`,
    );
  });
}

/** Compressed bytes are no JSON, and their sender had better read that than a complaint about UTF-8. */
function refuseEncoded(request: FastifyRequest): void {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity')
    throw new DomainError('UnsupportedMediaType', 'Expected a JSON body without a Content-Encoding');
}
