import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { CONFIG, type Config } from '../config/config.js';
import { Origin } from '../http/origin.js';
import type { StatusForm } from './job-status.view.js';

/** How the single status in the answer to a request is written. */
@Injectable()
export class StatusForms {
  constructor(
    private readonly origin: Origin,
    @Inject(CONFIG) private readonly config: Pick<Config, 'ENVELOPE'>,
  ) {}

  of(request: FastifyRequest): StatusForm {
    return { origin: this.origin.of(request), envelope: this.config.ENVELOPE };
  }
}
