import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Origin, type Reached } from '../http/origin.js';
import type { StatusForm } from './job-status.view.js';

/** How the single status in the answer to a request is written. */
@Injectable()
export class StatusForms {
  constructor(
    private readonly origin: Origin,
    @Inject(CONFIG) private readonly config: Pick<Config, 'ENVELOPE'>,
  ) {}

  of(request: Reached): StatusForm {
    return { origin: this.origin.of(request), envelope: this.config.ENVELOPE };
  }
}
