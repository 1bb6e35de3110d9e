import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { hash, randomBytes } from 'node:crypto';
import pLimit from 'p-limit';
import { DomainError } from '../errors.js';
import type { Presented } from './authorization-header.js';
import { CLOCK, type Clock } from './clock.js';
import { CredentialsStore } from './credentials.store.js';
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
   * @param authorization the whole header, from which `presented` was read
   * @param address where the request came from
   * @throws DomainError Unauthorized; TooManyRequests after too many failures, or when too many passwords wait for their turn
   */
  async verify(authorization: string, presented: Presented, address: string): Promise<Principal> {
    const fingerprint = this.#fingerprint(authorization);
    const remembered = this.#remembered.get(fingerprint);
    if (remembered && this.#isFresh(remembered)) return remembered.principal;
    const principal = await (this.#running.get(fingerprint) ??
      this.#start(fingerprint, remembered ? this.#again(presented) : this.#first(presented, address)));
    if (!principal) throw new DomainError('Unauthorized', 'The credentials are not valid');
    return principal;
  }

  /**
   * Whose credentials these are, where they were verified within the last minute: what a request need not wait for.
   * @param authorization the whole header
   */
  remembered(authorization: string): Principal | null {
    const remembered = this.#remembered.get(this.#fingerprint(authorization));
    return remembered && this.#isFresh(remembered) ? remembered.principal : null;
  }

  #isFresh({ at }: Remembered): boolean {
    return this.clock.now() - at < REMEMBERED_MS;
  }

  /** HMAC's construction, of the one-shot hash: createHmac takes 2.5 µs, this 0.7, and every poll pays it. */
  #fingerprint(authorization: string): string {
    return hash('sha256', this.#outerKey + hash('sha256', this.#innerKey + authorization, 'hex'), 'hex');
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
    return presented.kind === 'token'
      ? this.store.principalOfToken(presented.token, presented.email)
      : this.#known(() => this.#compare(presented));
  }

  async #first(presented: Presented, address: string): Promise<Principal | null> {
    await this.throttle.checkAddress(address);
    return presented.kind === 'token'
      ? this.#firstToken(presented, address)
      : this.#firstPassword(presented, address);
  }

  /** A right token passes even when its email is throttled: 256 bits cannot be guessed, and the look-up is cheap. */
  async #firstToken({ token, email }: Token, address: string): Promise<Principal | null> {
    const principal = await this.store.principalOfToken(token, email);
    if (principal) return principal;
    if (email !== null) await this.throttle.checkEmail(email);
    await this.throttle.failed(address, email);
    return null;
  }

  async #firstPassword(presented: Password, address: string): Promise<Principal | null> {
    await this.throttle.checkEmail(presented.email);
    if (this.#strangers.pendingCount >= STRANGERS_WAITING_MAX)
      throw new DomainError('TooManyRequests', 'Too many sign-ins are waiting; try again in a second', {
        retryAfterSeconds: 1,
      });
    return this.#strangers(async () => {
      // Again, in its turn: else a hundred guesses that wait together would all be compared.
      await this.throttle.checkAddress(address);
      await this.throttle.checkEmail(presented.email);
      const principal = await this.#compare(presented);
      if (!principal) await this.throttle.failed(address, presented.email);
      return principal;
    });
  }

  /** A wrong email takes the same way as a wrong password: one look-up, one run of argon2. */
  async #compare({ email, password }: Password): Promise<Principal | null> {
    const user = await this.store.findPassword(email);
    const right = await this.passwords.matches(user?.passwordHash ?? null, password);
    return right && user ? this.store.principal(user.id) : null;
  }
}
