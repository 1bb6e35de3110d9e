import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { AuthModule } from '../auth/auth.module.js';
import { HttpToolsModule } from '../http/http-tools.module.js';
import { JobEventsController } from './job-events.controller.js';
import { JobEventsService } from './job-events.service.js';
import { JobResultsController } from './job-results.controller.js';
import { JobResultsService } from './job-results.service.js';
import { JobStatusesController } from './job-statuses.controller.js';
import { EagerStarts } from './eager-starts.js';
import { IdempotencyService } from './idempotency.service.js';
import { IdempotencyStore } from './idempotency.store.js';
import { JobControlService } from './job-control.service.js';
import { JobControlStore } from './job-control.store.js';
import { LiveEventsController } from './live-events.controller.js';
import { LiveEventsService } from './live-events.service.js';
import { LiveJobs } from './live-jobs.js';
import { LiveJobsStore } from './live-jobs.store.js';
import { JobWatcher } from './job-watcher.js';
import { JobStore } from './job.store.js';
import { JobsController } from './jobs.controller.js';
import { JobsService } from './jobs.service.js';
import { QuickPolls } from './quick-polls.js';
import { ResultStore } from './result.store.js';
import { RetentionStore } from './retention.store.js';
import { StatusForms } from './status-forms.js';
import { StatusPolls } from './status-polls.js';
import { SubmissionService } from './submission.service.js';
import { Submissions } from './submissions.js';
import { TaskTypesController } from './task-types.controller.js';
import { TaskTypes } from './task-types.js';
import { UploadService } from './upload.service.js';
import { UploadStore } from './upload.store.js';

@Module({
  imports: [AuthModule, DiscoveryModule, HttpToolsModule],
  controllers: [
    JobStatusesController,
    JobsController,
    JobResultsController,
    JobEventsController,
    LiveEventsController,
    TaskTypesController,
  ],
  providers: [
    EagerStarts,
    IdempotencyService,
    IdempotencyStore,
    JobControlService,
    JobControlStore,
    JobEventsService,
    JobResultsService,
    JobStore,
    JobWatcher,
    JobsService,
    LiveEventsService,
    LiveJobs,
    LiveJobsStore,
    QuickPolls,
    ResultStore,
    RetentionStore,
    StatusForms,
    StatusPolls,
    SubmissionService,
    Submissions,
    TaskTypes,
    UploadService,
    UploadStore,
  ],
  exports: [
    EagerStarts,
    IdempotencyService,
    IdempotencyStore,
    JobControlStore,
    JobWatcher,
    JobsService,
    RetentionStore,
    StatusForms,
    SubmissionService,
    TaskTypes,
    UploadStore,
  ],
})
export class JobsModule {}
