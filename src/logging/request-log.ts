import type { FastifyInstance, FastifyRequest } from 'fastify';
import { principalOf } from '../auth/authenticated.guard.js';
import { QuickLane } from '../http/quick-lane.js';
import type { PinoRoot } from './logger.js';

/**
 * Logs each request when it is answered, with its id, account and job, and never a header, query or body: they hold secrets.
 * Successful reads are logged at `debug` only: a thousand polls a second say nothing.
 */
export function logRequests(instance: FastifyInstance, log: PinoRoot): void {
  if (log.isLevelEnabled('debug')) QuickLane.of(instance).close();
  instance.addHook('onResponse', (request, reply, done) => {
    const level = levelOf(request.method, reply.statusCode);
    if (log.isLevelEnabled(level)) {
      const { id } = request.params as { id?: string };
      const isJob = request.routeOptions.url?.includes('/job') ?? false;
      log[level](
        {
          context: 'Http',
          request: request.id,
          method: request.method,
          path: pathOf(request),
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime),
          account: principalOf(request)?.account,
          job: isJob ? id : undefined,
        },
        'request',
      );
    }
    done();
  });
}

function levelOf(method: string, status: number): 'debug' | 'info' | 'warn' {
  if (status >= 500) return 'warn';
  const isRead = method === 'GET' || method === 'HEAD';
  return isRead && status < 400 ? 'debug' : 'info';
}

const pathOf = (request: FastifyRequest): string => request.originalUrl.split('?', 1)[0] ?? '';
