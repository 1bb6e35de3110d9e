import { Controller, Get, Header, Inject, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { Public } from '../auth/authenticated.guard.js';
import { CONFIG, type Config } from '../config/config.js';
import { DomainError } from '../errors.js';
import { Operation } from '../http/operation.js';
import { MetricsService } from './metrics.service.js';

/** For Prometheus. Numbers alone: no account, no user, no job. */
@Public()
@Controller('metrics')
export class MetricsController {
  constructor(
    private readonly metrics: MetricsService,
    @Inject(CONFIG) private readonly settings: Pick<Config, 'METRICS_TOKEN'>,
  ) {}

  /** @throws DomainError Unauthorized: METRICS_TOKEN is set, and the request has another one or none */
  @Get()
  @Operation({
    id: 'showMetrics',
    tag: 'Service',
    summary: 'What can be measured of this process and of the queue',
    description:
      'In the text format of Prometheus. Anyone may read it, unless METRICS_TOKEN is set: then `Authorization: Bearer` with that token.',
    answers: { 200: { description: 'The metrics', content: { 'text/plain': z.string() } } },
    errors: ['Unauthorized'],
    isJson: false,
  })
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  show(@Req() request: FastifyRequest): Promise<string> {
    const { METRICS_TOKEN } = this.settings;
    if (
      METRICS_TOKEN !== undefined &&
      !isSame(request.headers.authorization ?? '', `Bearer ${METRICS_TOKEN}`)
    )
      throw new DomainError('Unauthorized', 'Expected the token of METRICS_TOKEN as a Bearer token');
    return this.metrics.text();
  }
}

/** Takes the same time however much of it is right. */
const isSame = (given: string, expected: string): boolean => timingSafeEqual(digest(given), digest(expected));
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
