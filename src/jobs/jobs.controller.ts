import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  Param,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { ifNoneMatch, notModified, taggedHeaders } from '../http/described.js';
import { JSON_UTF8, entityTag, tagged } from '../http/etag.js';
import { keyedRequest } from '../http/keyed-request.js';
import { Operation } from '../http/operation.js';
import { Origin } from '../http/origin.js';
import { pageAnswer, pageRequest } from '../http/paging.js';
import { TAKES_STREAM } from '../http/request-body.js';
import { StreamedBody } from '../http/streamed-body.js';
import { noQuery, parseInput } from '../http/validate.js';
import {
  callbackHeaders,
  callbackMessage,
  fullJob,
  jobList,
  jobPath,
  singleStatusContent,
  SUBMISSION,
  SUBMISSION_ERRORS,
  submissionAnswers,
  submissionHeaders,
  submittedHeaders,
} from './job.answers.js';
import { jobFilter } from './job.schemas.js';
import { jobListQuery } from './job-statuses.controller.js';
import { jobView, singleStatus, statusUrl } from './job-status.view.js';
import { JobControlService } from './job-control.service.js';
import { IdempotencyService } from './idempotency.service.js';
import { JobsService } from './jobs.service.js';
import { StatusForms } from './status-forms.js';
import { StatusPolls } from './status-polls.js';
import { submissionAnswer } from './submission.answer.js';
import { SubmissionService } from './submission.service.js';
import { uploadQuery } from './upload.schemas.js';
import { UploadService } from './upload.service.js';

const fullContent = { 'application/json': fullJob };
const controlErrors = ['RecordNotFound', 'Forbidden'] as const;

/** The full resource and submissions. */
@Controller('api/v2/jobs')
export class JobsController {
  constructor(
    private readonly jobs: JobsService,
    private readonly control: JobControlService,
    private readonly idempotency: IdempotencyService,
    private readonly submissions: SubmissionService,
    private readonly uploads: UploadService,
    private readonly origin: Origin,
    private readonly forms: StatusForms,
    private readonly polls: StatusPolls,
  ) {}

  @Post()
  @Operation({
    id: 'submitJob',
    tag: 'Jobs',
    summary: 'Submit a job',
    description:
      'As JSON, or with the tasks streamed as NDJSON, a task a line: type and options are then query parameters, which a JSON ' +
      'submission must not have. A refused or broken submission leaves nothing behind.',
    query: uploadQuery,
    headers: submissionHeaders,
    body: {
      content: { 'application/json': SUBMISSION, 'application/x-ndjson': z.string() },
    },
    callbacks: {
      ended: {
        url: '{$request.body#/callback_url}',
        summary: 'The job has ended',
        headers: callbackHeaders,
        body: callbackMessage,
        answers: {
          '2XX': 'It is delivered',
          410: 'It is not tried again',
          default: 'It is tried again, for about a day',
        },
      },
    },
    answers: submissionAnswers,
    errors: SUBMISSION_ERRORS,
  })
  @RouteConfig(TAKES_STREAM)
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async submit(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
    @Body() body: unknown,
  ) {
    const form = this.forms.of(request);
    const { origin } = form;
    const submitted = await this.idempotency.once(caller, keyedRequest(request), (key) => {
      if (body instanceof StreamedBody) return this.uploads.submit(caller, query, body, key, origin);
      parseInput(noQuery, query);
      return this.submissions.submit(caller, body, key, origin);
    });
    return submissionAnswer(submitted, form, reply);
  }

  @Get()
  @Operation({
    id: 'listJobs',
    tag: 'Jobs',
    summary: 'The account’s jobs with all there is to know, the newest first',
    query: jobListQuery,
    answers: { 200: { description: 'A page of jobs', content: { 'application/json': jobList } } },
    errors: ['RecordInvalid'],
  })
  async list(@Caller() caller: Principal, @Req() request: FastifyRequest, @Query() query: unknown) {
    const asked = parseInput(jobListQuery, query);
    const page = await this.jobs.list(caller, jobFilter(asked), pageRequest(asked));
    const origin = this.origin.of(request);
    return {
      jobs: page.rows.map((row) => jobView(row, origin)),
      ...pageAnswer(page, this.origin.urlOf(request), (row) => row.id),
    };
  }

  @Get(':id')
  @Operation({
    id: 'showJob',
    tag: 'Jobs',
    summary: 'All there is to know of a job',
    path: jobPath,
    headers: z.object({ 'If-None-Match': ifNoneMatch }),
    answers: {
      200: { description: 'The job', headers: taggedHeaders, content: fullContent },
      304: notModified,
    },
    errors: ['RecordNotFound'],
  })
  async show(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Param('id') id: string,
  ) {
    const row = await this.jobs.job(caller, id);
    const body = JSON.stringify(jobView(row, this.origin.of(request)));
    return tagged(request, reply, entityTag(row.version, body), body);
  }

  @Delete(':id')
  @Operation({
    id: 'deleteJob',
    tag: 'Jobs',
    summary: 'Remove an ended job and its results',
    path: jobPath,
    answers: { 204: { description: 'It is gone' } },
    errors: [...controlErrors, 'JobWorking'],
  })
  @HttpCode(204)
  async remove(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.control.remove(caller, id);
    this.polls.forget(caller, id);
  }

  @Post(':id/kill')
  @Operation({
    id: 'killJob',
    tag: 'Jobs',
    summary: 'Stop a job for good',
    description:
      'No result is added from here on, and running handlers are told to stop. A killed job may be killed again.',
    path: jobPath,
    answers: { 200: { description: 'The killed job', content: singleStatusContent } },
    errors: [...controlErrors, 'JobFinished'],
  })
  @HttpCode(200)
  @Header('Content-Type', JSON_UTF8)
  async kill(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    const status = await this.jobs.status(caller, await this.control.kill(caller, id));
    return singleStatus(status, status.results, this.forms.of(request));
  }

  @Post(':id/pause')
  @Operation({
    id: 'pauseJob',
    tag: 'Jobs',
    summary: 'Let no further task of a job begin',
    description: 'Tasks that run finish.',
    path: jobPath,
    answers: { 200: { description: 'The paused job', content: fullContent } },
    errors: [...controlErrors, 'JobFinished'],
  })
  @HttpCode(200)
  async pause(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    await this.control.pause(caller, id);
    return jobView(await this.jobs.job(caller, id), this.origin.of(request));
  }

  @Post(':id/resume')
  @Operation({
    id: 'resumeJob',
    tag: 'Jobs',
    summary: 'Let a paused job go on',
    path: jobPath,
    answers: { 200: { description: 'The job', content: fullContent } },
    errors: [...controlErrors, 'JobFinished'],
  })
  @HttpCode(200)
  async resume(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    await this.control.resume(caller, id);
    return jobView(await this.jobs.job(caller, id), this.origin.of(request));
  }

  @Post(':id/retry')
  @Operation({
    id: 'retryJob',
    tag: 'Jobs',
    summary: 'A new job of every task of an ended one that did not succeed',
    description: 'Asked again, it answers with the same new job.',
    path: jobPath,
    answers: { 202: { description: 'The new job', headers: submittedHeaders, content: fullContent } },
    errors: [...controlErrors, 'JobWorking', 'NothingToRetry', 'TooManyJobs'],
  })
  @HttpCode(202)
  async retry(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Param('id') id: string,
  ) {
    const made = await this.control.retry(caller, id);
    const origin = this.origin.of(request);
    void reply.header('Location', statusUrl(origin, made));
    return jobView(await this.jobs.job(caller, made), origin);
  }
}
