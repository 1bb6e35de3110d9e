import { Module } from '@nestjs/common';
import { JobsModule } from '../jobs/jobs.module.js';
import { ChunkStore } from './chunk.store.js';
import { Heartbeat } from './heartbeat.js';
import { HeartbeatStore } from './heartbeat.store.js';
import { Retention } from './retention.js';
import { SuspectStore } from './suspect.store.js';
import { Sweeper } from './sweeper.js';
import { WakeUp } from './wake-up.js';
import { WorkerListStore } from './worker-list.store.js';
import { WorkersController } from './workers.controller.js';
import { WorkerService } from './worker.service.js';

@Module({
  imports: [JobsModule],
  controllers: [WorkersController],
  providers: [
    ChunkStore,
    Heartbeat,
    HeartbeatStore,
    Retention,
    SuspectStore,
    Sweeper,
    WakeUp,
    WorkerListStore,
    WorkerService,
  ],
  exports: [WorkerService, Sweeper, ChunkStore],
})
export class WorkersModule {}
