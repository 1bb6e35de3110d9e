import type { IncomingMessage } from 'node:http';
import passport from 'passport';
import { Strategy } from 'passport-strategy';
import { readBasic, readBearer, type Presented } from './authorization-header.js';

/**
 * A passport strategy that reads one scheme of the Authorization header, and nothing else of the request: a token in a query
 * would end up in logs.
 *
 * It says what was presented, not whether it is true; CredentialsService does that for the guard. passport keeps one
 * registry a process, so a strategy that held a service would answer for the app that was made last, with its database.
 *
 * Not passport-http 0.3's BasicStrategy: it cuts a password at its first colon ("a:b" signs in as "a"), refuses one that
 * begins with a colon, takes bytes that are not UTF-8 and any scheme with "basic" inside its name.
 */
class HeaderStrategy extends Strategy {
  // Not #read: passport calls authenticate() on an object made from this one, which has no private members.
  constructor(private readonly read: (authorization: string) => Presented | null) {
    super();
  }

  override authenticate(request: Pick<IncomingMessage, 'headers'>): void {
    const presented = this.read(request.headers.authorization ?? '');
    if (presented) this.success(presented);
    else this.fail(401);
  }
}

/** In the order in which the guard tries them. */
export const SCHEMES = ['basic', 'bearer'];

export function registerStrategies(): void {
  passport.use('basic', new HeaderStrategy(readBasic));
  passport.use('bearer', new HeaderStrategy(readBearer));
}
