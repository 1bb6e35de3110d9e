import { Module } from '@nestjs/common';
import { JobsModule } from '../jobs/jobs.module.js';
import { MetricsController } from './metrics.controller.js';
import { MetricsService } from './metrics.service.js';
import { QueueStore } from './queue.store.js';

@Module({ imports: [JobsModule], controllers: [MetricsController], providers: [MetricsService, QueueStore] })
export class MetricsModule {}
