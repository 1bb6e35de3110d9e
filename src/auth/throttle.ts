import { Injectable } from '@nestjs/common';
import { createHmac, randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { DomainError } from '../errors.js';

export const FAILURES_PER_EMAIL = 10;
export const FAILURES_PER_ADDRESS = 30;
const WINDOW_SECONDS = 60;

/**
 * The limiter keeps an entry and a timer for every key until its window has passed: 470 MB for a million emails. So keys are
 * hashed into this many buckets under a secret: memory is bounded (13 MB a limiter with every bucket taken), and nobody can
 * push another's count out, as in an LRU, or aim at another's bucket. Two that share one by chance share the count.
 */
const BUCKETS = 32_768;

/** Who may go on guessing: counts failures in the last minute, an email and an address each. */
@Injectable()
export class Throttle {
  readonly #secret = randomBytes(32);
  readonly #emails = new RateLimiterMemory({ points: FAILURES_PER_EMAIL, duration: WINDOW_SECONDS });
  readonly #addresses = new RateLimiterMemory({ points: FAILURES_PER_ADDRESS, duration: WINDOW_SECONDS });

  /** @throws DomainError TooManyRequests while this address has failed too often */
  checkAddress(address: string): Promise<void> {
    return this.#check(this.#addresses, networkOf(address));
  }

  /** @throws DomainError TooManyRequests while this email has been tried in vain too often */
  checkEmail(email: string): Promise<void> {
    return this.#check(this.#emails, email);
  }

  /** Counts a failure. */
  async failed(address: string, email: string | null): Promise<void> {
    await this.#addresses.penalty(this.#bucket(networkOf(address)));
    if (email !== null) await this.#emails.penalty(this.#bucket(email));
  }

  async #check(limiter: RateLimiterMemory, key: string): Promise<void> {
    const count = await limiter.get(this.#bucket(key));
    if (!count || count.consumedPoints < limiter.points || count.msBeforeNext <= 0) return;
    const seconds = Math.ceil(count.msBeforeNext / 1000);
    throw new DomainError(
      'TooManyRequests',
      `Too many sign-ins have failed; try again in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}`,
      { retryAfterSeconds: seconds },
    );
  }

  #bucket(key: string): number {
    return createHmac('sha256', this.#secret).update(key).digest().readUInt32BE() % BUCKETS;
  }
}

/** Whoever has one IPv6 address has its whole /64, so that is what is counted. */
export function networkOf(address: string): string {
  const plain = address.split('%')[0] ?? '';
  if (!isIPv6(plain)) return plain;
  const mapped = /^::ffff:(\d+(?:\.\d+){3})$/i.exec(plain)?.[1];
  if (mapped) return mapped;
  // The URL parser writes the groups in one form; `::` stands for as many zeros as are missing from eight.
  const [head = '', tail] = new URL(`http://[${plain}]/`).hostname.slice(1, -1).split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
