import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../config/config.js';
import { forbidden } from '../errors.js';
import { readSessionCookie } from '../http/session-cookie.js';

/**
 * What another site makes a browser ask. It cannot read the answer, but what it asks would be done, in the name of whoever has
 * signed in there: by cookie, or in the browser's own dialog for Basic credentials, which it then adds to every request. Browsers
 * say where a request comes from, in headers that no script can set; programs send none of them.
 */

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Routes whose answers say something of an account. All else that is read here anyone may see: a link to it may stand anywhere. */
const PRIVATE = /^\/(?:api\/|session$)/;

export function refuseCrossSite(instance: FastifyInstance, { PUBLIC_URL }: Pick<Config, 'PUBLIC_URL'>): void {
  const publicHost = PUBLIC_URL === undefined ? null : new URL(PUBLIC_URL).host;
  instance.addHook('onRequest', (request, _, done) => {
    const isRead = READS.has(request.method);
    const isHarmless =
      isRead && !(PRIVATE.test(request.routeOptions.url ?? '') && hasAmbientCredentials(request));
    done(isHarmless || isOwn(request, isRead, publicHost) ? undefined : crossSite());
  });
}

/** Credentials that a browser adds by itself. */
const hasAmbientCredentials = ({ headers }: FastifyRequest): boolean =>
  readSessionCookie(headers.cookie) !== null || /^basic\b/i.test(headers.authorization ?? '');

/**
 * Whether the request is a program's, or this service's own page's. Sec-Fetch-Site is what the browser itself compared; the
 * Origin is what is left where it is not sent (an old browser, or plain http). `none`: the user typed the address, or opened a
 * bookmark; nobody writes in this way.
 */
function isOwn({ headers, host }: FastifyRequest, isRead: boolean, publicHost: string | null): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && !(site === 'none' && isRead)) return false;
  if (headers.origin === undefined || site === 'same-origin') return true;
  return isHost(headers.origin, host) || (publicHost !== null && isHost(headers.origin, publicHost));
}

/** Whether an origin has this host; schemes are not compared, since a proxy in front may end the https. */
function isHost(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host: asked } = new URL(origin);
  const own = `${protocol}//${host}`;
  return asked !== '' && URL.canParse(own) && new URL(own).host === asked;
}

const crossSite = () =>
  forbidden(
    'The request comes from a page of another site. Behind a proxy that sends another Host, PUBLIC_URL must say where this service is reached',
  );
