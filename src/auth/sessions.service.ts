import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { CredentialsService, sessionKey } from './credentials.service.js';
import { CredentialsStore } from './credentials.store.js';
import type { Principal } from './principal.js';
import type { signInSchema } from './session.schemas.js';
import { SessionsStore } from './sessions.store.js';

/** A working day: whoever comes back the next morning signs in again. Nothing prolongs it. */
export const SESSION_SECONDS = 12 * 3_600;
/** Of a user: an older one than the newest 20 has long been forgotten by its browser. */
const SESSIONS_MAX = 20;

export interface StartedSession {
  readonly token: string;
  readonly principal: Principal;
}

/** Signs browsers in and out. */
@Injectable()
export class SessionsService {
  constructor(
    private readonly credentials: CredentialsService,
    private readonly users: CredentialsStore,
    private readonly store: SessionsStore,
  ) {}

  /**
   * @param before the session that the browser has, which this one takes the place of; it is never gone on with, since somebody
   *   else may have put it there
   * @throws DomainError Unauthorized, TooManyRequests
   */
  async begin(
    { email, password }: z.output<typeof signInSchema>,
    before: string | null,
    address: string,
  ): Promise<StartedSession> {
    const started = await this.credentials.signIn(
      { kind: 'password', email, password },
      address,
      async (user) => {
        const token = await this.store.begin(user, SESSION_SECONDS);
        const principal = token === null ? null : await this.users.principal(user.id);
        return token === null || principal === null ? null : { token, principal };
      },
    );
    if (before !== null) await this.end(before);
    await this.store.sweep(started.principal.userId, SESSIONS_MAX);
    return started;
  }

  /** @throws DomainError Unauthorized, TooManyRequests */
  show(token: string, address: string): Promise<Principal> {
    return this.credentials.verify(sessionKey(token), { kind: 'session', token }, address);
  }

  /** In this process at once; another one remembers it for a minute at most. */
  async end(token: string): Promise<void> {
    await this.store.end(token);
    this.credentials.forget(sessionKey(token));
  }
}
