import type { FastifyInstance } from 'fastify';
import { unreadable } from './authenticated.guard.js';

/**
 * Refuses requests to the API that bring no credentials at all before their body is read: nobody unknown makes this process
 * parse megabytes.
 */
export function refuseAnonymous(instance: FastifyInstance): void {
  instance.addHook('onRequest', (request, _, done) => {
    const isAnonymous = request.headers.authorization === undefined && request.url.startsWith('/api/');
    done(isAnonymous && !request.is404 ? unreadable() : undefined);
  });
}
