import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
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

  /**
   * @param authorization the header
   * @returns null: the guards must decide, since there is none, it is not remembered, or requests are counted
   */
  of(authorization: string | undefined): Principal | null {
    if (this.#isCounted || authorization === undefined) return null;
    return this.credentials.remembered(authorization);
  }
}
