import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { CONFIG, type Config } from '../config/config.js';
import { DomainError } from '../errors.js';
import { principalOf } from './authenticated.guard.js';
import type { Principal } from './principal.js';

/**
 * Stands behind the AuthenticatedGuard: how many requests of an account are answered in a second. Counted in this process
 * alone: n processes let n times as many through. To share the count would cost every poll a round trip to the database, more
 * than the poll itself.
 */
@Injectable()
export class RequestRateGuard implements CanActivate {
  readonly #limiter: RateLimiterMemory | null;

  constructor(@Inject(CONFIG) private readonly config: Pick<Config, 'MAX_REQUESTS_PER_SECOND'>) {
    const points = config.MAX_REQUESTS_PER_SECOND;
    this.#limiter = points > 0 ? new RateLimiterMemory({ points, duration: 1 }) : null;
  }

  /** @throws DomainError TooManyRequests */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (!this.#limiter) return true;
    const principal = principalOf(context.switchToHttp().getRequest<FastifyRequest>());
    return principal ? this.#consume(this.#limiter, principal) : true;
  }

  async #consume(limiter: RateLimiterMemory, { accountId }: Principal): Promise<boolean> {
    try {
      await limiter.consume(accountId);
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      throw new DomainError(
        'TooManyRequests',
        `Expected at most ${this.config.MAX_REQUESTS_PER_SECOND} requests a second of an account`,
        { retryAfterSeconds: refusal.msBeforeNext / 1_000 },
      );
    }
    return true;
  }
}
