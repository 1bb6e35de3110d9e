import { Controller, Get } from '@nestjs/common';
import { Public } from '../auth/authenticated.guard.js';
import { DomainError } from '../errors.js';
import { WorkerService } from '../workers/worker.service.js';
import { PrismaService } from '../database/prisma.service.js';

/** For whoever watches the process: a supervisor asks whether it lives, a load balancer whether it can serve. */
@Public()
@Controller()
export class HealthController {
  constructor(
    private readonly prisma: PrismaService,
    private readonly worker: WorkerService,
  ) {}

  @Get('healthz')
  alive() {
    return { status: 'ok' };
  }

  /** 503 while the database is away, and while the worker of this process, if it has one, cannot be heard of. */
  @Get('readyz')
  async ready() {
    await this.prisma.$queryRaw`SELECT 1 FROM job_statuses LIMIT 1`;
    if (!this.worker.isWell)
      throw new DomainError('Unavailable', 'The worker has no heartbeat', { retryAfterSeconds: 1 });
    return { status: 'ok' };
  }
}
