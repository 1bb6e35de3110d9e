import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Gauge, Histogram, type Registry } from 'prom-client';

/** Methods that become labels; what else a client may think of is one of them. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Measures every request, by the pattern of its route and never by its path. To be called before the routes are made. */
export function measureHttp(instance: FastifyInstance, registry: Registry): void {
  const duration = new Histogram({
    name: 'tally_http_request_duration_seconds',
    help: 'How long requests take, by route; those whose answer was held on the client’s wish, or streamed as events, are held="true"',
    labelNames: ['method', 'route', 'status', 'held'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [registry],
  });
  const open = new Gauge({
    name: 'tally_http_requests_open',
    help: 'Requests that are being answered, by route; those of the route of events are open streams',
    labelNames: ['route'],
    registers: [registry],
  });
  const observe = (request: FastifyRequest, reply: FastifyReply, status: string): void => {
    const method = METHODS.has(request.method) ? request.method : 'other';
    const labels = { method, route: routeOf(request), status, held: String(wasHeld(reply)) };
    duration.observe(labels, reply.elapsedTime / 1_000);
  };
  // A refusal by an earlier hook, such as of a path that is not known, comes here and not to the next one.
  instance.addHook('onResponse', (request, reply, done) => {
    observe(request, reply, `${Math.floor(reply.statusCode / 100)}xx`);
    done();
  });
  instance.addHook('onRequest', (request, reply, done) => {
    const route = routeOf(request);
    open.inc({ route });
    reply.raw.once('close', () => {
      open.dec({ route });
      // The client went before it had the whole answer, and then there is no onResponse.
      if (!reply.raw.writableFinished) observe(request, reply, 'none');
    });
    done();
  });
}

const routeOf = (request: FastifyRequest): string =>
  request.is404 ? 'unknown' : (request.routeOptions.url ?? 'unknown');

const wasHeld = (reply: FastifyReply): boolean =>
  reply.hasHeader('preference-applied') ||
  String(reply.getHeader('content-type') ?? '').startsWith('text/event-stream');
