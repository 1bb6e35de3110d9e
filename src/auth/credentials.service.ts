import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { hash, randomBytes } from 'node:crypto';
import pLimit from 'p-limit';
import { DomainError } from '../errors.js';
import type { Presented } from './authorization-header.js';
import { CLOCK, type Clock } from './clock.js';
import { CredentialsStore, type PasswordRow } from './credentials.store.js';
import { PasswordVerifier } from './passwords.js';
import type { Principal } from './principal.js';
import { Throttle } from './throttle.js';

/** So long a revoked credential may go on, at most. */
const REMEMBERED_MS = 60_000;
const REMEMBERED_MAX = 10_000;
/** argon2 runs on libuv's four threads, which files, names and compression need too. */
const STRANGERS_AT_ONCE = 2;
const STRANGERS_WAITING_MAX = 100;
const KNOWN_AT_ONCE = 1;

interface Remembered {
  readonly principal: Principal;
  /** When it was verified, by the clock. */
  readonly at: number;
}

type Password = Extract<Presented, { kind: 'password' }>;
type Token = Extract<Presented, { kind: 'token' }>;

/**
 * Decides whether credentials are true. One that was is remembered for a minute as a keyed hash of the whole header, under keys
 * made at start (0.7 µs against 6 ms of argon2); after that it is verified again, but stays known: it is not throttled and
 * does not queue behind strangers, so that no one's guesses can lock out a client that has signed in before.
 */
@Injectable()
export class CredentialsService {
  readonly #innerKey = randomBytes(64).toString('base64');
  readonly #outerKey = randomBytes(64).toString('base64');
  readonly #remembered = new LRUCache<string, Remembered>({ max: REMEMBERED_MAX });
  /** Fingerprints of what has signed in at /session. */
  readonly #signedIn = new LRUCache<string, true>({ max: REMEMBERED_MAX });
  readonly #running = new Map<string, Promise<Principal | null>>();
  readonly #strangers = pLimit(STRANGERS_AT_ONCE);
  readonly #known = pLimit(KNOWN_AT_ONCE);

  constructor(
    private readonly store: CredentialsStore,
    private readonly passwords: PasswordVerifier,
    private readonly throttle: Throttle,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * @param key what `presented` was read from: the whole header, or as `sessionKey` has it
   * @param address where the request came from
   * @throws DomainError Unauthorized; TooManyRequests after too many failures, or when too many passwords wait for their turn
   */
  async verify(key: string, presented: Presented, address: string): Promise<Principal> {
    const fingerprint = this.#fingerprint(key);
    const remembered = this.#remembered.get(fingerprint);
    if (remembered && this.#isFresh(remembered)) return remembered.principal;
    const principal = await (this.#running.get(fingerprint) ??
      this.#start(fingerprint, remembered ? this.#again(presented) : this.#first(presented, address)));
    if (!principal) throw wrong();
    return principal;
  }

  /**
   * Whose credentials these are, where they were verified within the last minute: what a request need not wait for.
   * @param key as of `verify`
   */
  remembered(key: string): Principal | null {
    const remembered = this.#remembered.get(this.#fingerprint(key));
    return remembered && this.#isFresh(remembered) ? remembered.principal : null;
  }

  #isFresh({ at }: Remembered): boolean {
    return this.clock.now() - at < REMEMBERED_MS;
  }

  /** Makes it be verified anew when it comes again. @param key as of `verify` */
  forget(key: string): void {
    this.#remembered.delete(this.#fingerprint(key));
  }

  /**
   * Compares a password whatever is remembered: one that was changed a moment ago must not begin a session of many hours.
   * @param begin is called when it is right; null from it counts as a wrong password
   * @throws DomainError as `verify`
   */
  async signIn<T>(
    presented: Password,
    address: string,
    begin: (user: PasswordRow) => Promise<T | null>,
  ): Promise<T> {
    const fingerprint = this.#fingerprint(`sign-in ${presented.email}:${presented.password}`);
    const attempt = async (): Promise<T | null> => {
      const user = await this.#match(presented);
      return user && begin(user);
    };
    const signedIn = await (this.#signedIn.has(fingerprint)
      ? this.#known(attempt)
      : this.#asStranger(presented, address, attempt));
    if (signedIn === null) throw wrong();
    this.#signedIn.set(fingerprint, true);
    return signedIn;
  }

  /** HMAC's construction, of the one-shot hash: createHmac takes 2.5 µs, this 0.7, and every poll pays it. */
  #fingerprint(key: string): string {
    return hash('sha256', this.#outerKey + hash('sha256', this.#innerKey + key, 'hex'), 'hex');
  }

  /** Requests that bring the same header meanwhile share this verification. Only a success is remembered. */
  #start(fingerprint: string, verification: Promise<Principal | null>): Promise<Principal | null> {
    // The time before anything is read: what is revoked from now on stops a minute from now.
    const at = this.clock.now();
    const running = verification
      .then((principal) => {
        if (principal) this.#remembered.set(fingerprint, { principal, at });
        else this.#remembered.delete(fingerprint);
        return principal;
      })
      .finally(() => this.#running.delete(fingerprint));
    this.#running.set(fingerprint, running);
    return running;
  }

  /** Credentials that were right before. */
  #again(presented: Presented): Promise<Principal | null> {
    switch (presented.kind) {
      case 'password':
        return this.#known(() => this.#compare(presented));
      case 'token':
        return this.store.principalOfToken(presented.token, presented.email);
      case 'session':
        return this.store.principalOfSession(presented.token);
    }
  }

  async #first(presented: Presented, address: string): Promise<Principal | null> {
    await this.throttle.checkAddress(address);
    switch (presented.kind) {
      case 'password':
        return this.#asStranger(presented, address, () => this.#compare(presented));
      case 'token':
        return this.#firstToken(presented, address);
      case 'session':
        // Not counted as a failure: 256 bits cannot be guessed, and the open pages of one user whose session has ended would
        // keep that user from signing in.
        return this.store.principalOfSession(presented.token);
    }
  }

  /** A right token passes even when its email is throttled: 256 bits cannot be guessed, and the look-up is cheap. */
  async #firstToken({ token, email }: Token, address: string): Promise<Principal | null> {
    const principal = await this.store.principalOfToken(token, email);
    if (principal) return principal;
    if (email !== null) await this.throttle.checkEmail(email);
    await this.throttle.failed(address, email);
    return null;
  }

  /** Lets nobody guess without end. @param attempt null: it failed */
  async #asStranger<T>(
    { email }: Password,
    address: string,
    attempt: () => Promise<T | null>,
  ): Promise<T | null> {
    await this.throttle.checkAddress(address);
    await this.throttle.checkEmail(email);
    if (this.#strangers.pendingCount >= STRANGERS_WAITING_MAX)
      throw new DomainError('TooManyRequests', 'Too many sign-ins are waiting; try again in a second', {
        retryAfterSeconds: 1,
      });
    return this.#strangers(async () => {
      // Again, in its turn: else a hundred guesses that wait together would all be compared.
      await this.throttle.checkAddress(address);
      await this.throttle.checkEmail(email);
      const success = await attempt();
      if (success === null) await this.throttle.failed(address, email);
      return success;
    });
  }

  async #compare(presented: Password): Promise<Principal | null> {
    const user = await this.#match(presented);
    return user && this.store.principal(user.id);
  }

  /** A wrong email takes the same way as a wrong password: one look-up, one run of argon2. */
  async #match({ email, password }: Password): Promise<PasswordRow | null> {
    const user = await this.store.findPassword(email);
    const right = await this.passwords.matches(user?.passwordHash ?? null, password);
    return right ? user : null;
  }
}

/** What stands for a session where another credential's header does: it is none, so it is no other credential's. */
export const sessionKey = (token: string): string => `session ${token}`;

const wrong = (): DomainError => new DomainError('Unauthorized', 'The credentials are not valid');
