import type { FastifyInstance } from 'fastify';
import { readSessionCookie } from '../http/session-cookie.js';
import { unreadable } from './authenticated.guard.js';

/**
 * Refuses requests to the API that bring no credentials at all before their body is read: nobody unknown makes this process
 * parse megabytes.
 */
export function refuseAnonymous(instance: FastifyInstance): void {
  instance.addHook('onRequest', (request, _, done) => {
    const { authorization, cookie } = request.headers;
    const isAnonymous = authorization === undefined && readSessionCookie(cookie) === null;
    // The route and not the URL, which may spell the same path in another way.
    const isRefused = isAnonymous && !request.is404 && request.routeOptions.url?.startsWith('/api/');
    done(isRefused ? unreadable() : undefined);
  });
}
