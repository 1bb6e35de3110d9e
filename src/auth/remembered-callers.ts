import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { CONFIG, type Config } from '../config/config.js';
import { admit } from './authenticated.guard.js';
import { CredentialsService } from './credentials.service.js';
import type { Principal } from './principal.js';

/** Says of a request, before Nest is asked, what its guards would say without waiting for anything. */
@Injectable()
export class RememberedCallers {
  readonly #isCounted: boolean;

  constructor(
    private readonly credentials: CredentialsService,
    @Inject(CONFIG) config: Pick<Config, 'MAX_REQUESTS_PER_SECOND'>,
  ) {
    this.#isCounted = config.MAX_REQUESTS_PER_SECOND > 0;
  }

  /** @returns null: the guards must decide, since the header is not remembered, or requests are counted */
  of(request: FastifyRequest): Principal | null {
    return this.#isCounted ? null : admit(request, this.credentials);
  }
}
