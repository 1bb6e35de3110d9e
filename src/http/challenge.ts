import type { FastifyRequest } from 'fastify';
import { readSessionCookie } from './session-cookie.js';

/** Whether a 401 asks for Basic credentials. A browser that is asked opens a dialog, in front of a page that has a form of its own. */

/** On a route: its 401 is for a page to read. */
export const UNCHALLENGED = { isUnchallenged: true };

/**
 * Of what the dashboard asks, a 401 has no challenge: what a script or an EventSource sends says so by itself (Sec-Fetch-Mode),
 * though only over https and to localhost; the header X-Tally-Client and the session's cookie say it everywhere. Node's fetch
 * sends a Sec-Fetch-Mode as well, but no Sec-Fetch-Site.
 */
export function isChallenged(request: FastifyRequest): boolean {
  const { headers, routeOptions } = request;
  const isFromScript = headers['sec-fetch-site'] !== undefined && headers['sec-fetch-mode'] !== 'navigate';
  const isFromPage = headers['x-tally-client'] === 'dashboard' || readSessionCookie(headers.cookie) !== null;
  const { isUnchallenged } = routeOptions.config as Partial<typeof UNCHALLENGED>;
  return !(isFromScript || isFromPage || isUnchallenged === true);
}
