import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { HttpToolsModule } from '../http/http-tools.module.js';
import { JobStatusesController } from './job-statuses.controller.js';
import { JobControlService } from './job-control.service.js';
import { JobControlStore } from './job-control.store.js';
import { JobStore } from './job.store.js';
import { JobsController } from './jobs.controller.js';
import { JobsService } from './jobs.service.js';
import { TaskTypes } from './task-types.js';

@Module({
  imports: [DiscoveryModule, HttpToolsModule],
  controllers: [JobStatusesController, JobsController],
  providers: [JobControlService, JobControlStore, JobStore, JobsService, TaskTypes],
  exports: [JobControlStore, JobsService, TaskTypes],
})
export class JobsModule {}
