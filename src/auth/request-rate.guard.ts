import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { CONFIG, type Config } from '../config/config.js';
import { DomainError } from '../errors.js';
import { principalOf } from './authenticated.guard.js';

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
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const principal = principalOf(context.switchToHttp().getRequest<FastifyRequest>());
    if (!this.#limiter || !principal) return true;
    try {
      await this.#limiter.consume(principal.accountId);
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
