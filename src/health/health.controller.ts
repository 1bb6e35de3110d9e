import { Controller, Get } from '@nestjs/common';
import { z } from 'zod';
import { Public } from '../auth/authenticated.guard.js';
import { DomainError } from '../errors.js';
import { Operation } from '../http/operation.js';
import { WorkerService } from '../workers/worker.service.js';
import { PoolShares } from '../database/pool-shares.js';
import { isReadOnly, PrismaService } from '../database/prisma.service.js';

const well = {
  tag: 'Service',
  answers: {
    200: {
      description: 'It is',
      content: { 'application/json': z.strictObject({ status: z.literal('ok') }).meta({ id: 'Well' }) },
    },
  },
  isJson: false,
} as const;

/** For whoever watches the process: a supervisor asks whether it lives, a load balancer whether it can serve. */
@Public()
@Controller()
export class HealthController {
  constructor(
    private readonly prisma: PrismaService,
    private readonly worker: WorkerService,
    private readonly shares: PoolShares,
  ) {}

  @Get('healthz')
  @Operation({ ...well, id: 'isAlive', summary: 'Whether this process is alive' })
  alive() {
    return { status: 'ok' };
  }

  /** 503 while the database is away, read-only or full, and while the worker of this process, if it has one, cannot be heard of. */
  @Get('readyz')
  @Operation({
    ...well,
    id: 'isReady',
    summary: 'Whether this process can serve: its database, and its worker where it has one',
    errors: ['Unavailable'],
  })
  async ready() {
    await this.prisma.$queryRaw`SELECT 1 FROM job_statuses LIMIT 1`;
    if (await isReadOnly(this.prisma)) throw notReady('The database is read-only');
    if (this.shares.isFull) throw notReady('The database has no space left');
    if (!this.worker.isWell) throw notReady('The worker has no heartbeat');
    return { status: 'ok' };
  }
}

const notReady = (why: string): DomainError => new DomainError('Unavailable', why, { retryAfterSeconds: 1 });
