import { Controller, Get } from '@nestjs/common';
import { Public } from '../auth/authenticated.guard.js';
import { PrismaService } from '../database/prisma.service.js';

/** For whoever watches the process: a supervisor asks whether it lives, a load balancer whether it can serve. */
@Public()
@Controller()
export class HealthController {
  constructor(private readonly prisma: PrismaService) {}

  @Get('healthz')
  alive() {
    return { status: 'ok' };
  }

  /** 503 while the database is away (the error filter says so). */
  @Get('readyz')
  async ready() {
    await this.prisma.$queryRaw`SELECT 1 FROM job_statuses LIMIT 1`;
    return { status: 'ok' };
  }
}
