import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ServerResponse } from 'node:http';
import { Gauge, Histogram, type Registry } from 'prom-client';
import { QuickLane } from '../http/quick-lane.js';

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
  /** By route. Counted here, since a poll that is answered at once has no time for the labels of two changes. */
  const open = new Map<string, number>();
  new Gauge({
    name: 'tally_http_requests_open',
    help: 'Requests that are being answered, by route; those of the route of events are open streams',
    labelNames: ['route'],
    registers: [registry],
    collect() {
      for (const [route, requests] of open) this.set({ route }, requests);
    },
  });
  const opened = (route: string, response: ServerResponse, closed: () => void): void => {
    open.set(route, (open.get(route) ?? 0) + 1);
    response.once('close', () => {
      open.set(route, (open.get(route) ?? 0) - 1);
      closed();
    });
  };
  const observe = (request: FastifyRequest, reply: FastifyReply, status: string): void => {
    const method = METHODS.has(request.method) ? request.method : 'other';
    const labels = { method, route: routeOf(request), status, held: String(wasHeld(reply)) };
    duration.observe(labels, reply.elapsedTime / 1_000);
  };
  // A refusal by an earlier hook, such as of a path that is not known, comes here and not to the next one.
  instance.addHook('onResponse', (request, reply, done) => {
    observe(request, reply, classOf(reply.statusCode));
    done();
  });
  instance.addHook('onRequest', (request, reply, done) => {
    opened(routeOf(request), reply.raw, () => {
      // The client went before it had the whole answer, and then there is no onResponse.
      if (!reply.raw.writableFinished) observe(request, reply, 'none');
    });
    done();
  });
  QuickLane.of(instance).onAnswer(({ route, response, status: code }) => {
    const beganMs = performance.now();
    opened(route, response, () => {
      const status = response.writableFinished ? classOf(code) : 'none';
      const labels = { method: 'GET', route, status, held: 'false' };
      duration.observe(labels, (performance.now() - beganMs) / 1_000);
    });
  });
}

const classOf = (status: number): string => `${Math.floor(status / 100)}xx`;

const routeOf = (request: FastifyRequest): string =>
  request.is404 ? 'unknown' : (request.routeOptions.url ?? 'unknown');

const wasHeld = (reply: FastifyReply): boolean =>
  reply.hasHeader('preference-applied') ||
  String(reply.getHeader('content-type') ?? '').startsWith('text/event-stream');
