import type { IncomingMessage } from 'node:http';
import passport from 'passport';
import { BasicStrategy } from 'passport-http';
import { Strategy } from 'passport-strategy';
import { readSessionCookie } from '../http/session-cookie.js';
import { readBasic, readBearer, type Presented } from './authorization-header.js';

/** What passport gives a strategy when it runs it; passport-http's types leave these out. */
interface Running {
  success(user: Presented): void;
  fail(challenge: string | number): void;
  _challenge(): string;
}

/**
 * The strategies read the Authorization header and the session's cookie, and nothing else of the request: a token in a query would
 * end up in logs.
 *
 * They say what was presented, not whether it is true; CredentialsService does that for the guard. passport keeps one
 * registry a process, so a strategy that held a service would answer for the app that was made last, with its database.
 */

/**
 * passport-http's Basic scheme with its realm and challenge; the header is read here, since version 0.3 cuts a password at
 * its first colon ("a:b" signs in as "a"), refuses one that begins with a colon, takes bytes that are not UTF-8 and any
 * scheme with "basic" inside its name.
 */
class BasicHeaderStrategy extends BasicStrategy {
  constructor() {
    super({ realm: 'Tally' }, () => undefined);
  }

  override authenticate(request: Pick<IncomingMessage, 'headers'>): void {
    const running = this as unknown as Running;
    const presented = readBasic(request.headers.authorization ?? '');
    if (presented) running.success(presented);
    else running.fail(running._challenge());
  }
}

/** RFC 6750, from the header alone. */
class BearerHeaderStrategy extends Strategy {
  override authenticate(request: Pick<IncomingMessage, 'headers'>): void {
    const presented = readBearer(request.headers.authorization ?? '');
    if (presented) this.success(presented);
    else this.fail(401);
  }
}

/** The cookie that a browser got when it signed in at /session. */
class SessionCookieStrategy extends Strategy {
  override authenticate(request: Pick<IncomingMessage, 'headers'>): void {
    const token = readSessionCookie(request.headers.cookie);
    if (token === null) this.fail(401);
    else this.success({ kind: 'session', token } satisfies Presented);
  }
}

/**
 * In the order in which the guard tries them. The cookie goes before Basic: a browser adds to every request the Basic credentials
 * that were once typed into its dialog, whoever has signed in on the page since. It never adds a Bearer token.
 */
export const SCHEMES = ['bearer', 'cookie', 'basic'];

export function registerStrategies(): void {
  passport.use('basic', new BasicHeaderStrategy());
  passport.use('bearer', new BearerHeaderStrategy());
  // passport has a strategy of its own by the name of session.
  passport.use('cookie', new SessionCookieStrategy());
}
