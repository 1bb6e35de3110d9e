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
import { entityTag, tagged } from '../http/etag.js';
import { keyedRequest } from '../http/keyed-request.js';
import { Origin } from '../http/origin.js';
import { pageAnswer, pageRequest } from '../http/paging.js';
import { TAKES_STREAM } from '../http/request-body.js';
import { StreamedBody } from '../http/streamed-body.js';
import { parseInput } from '../http/validate.js';
import { jobFilter } from './job.schemas.js';
import { jobListQuery, JSON_UTF8 } from './job-statuses.controller.js';
import { jobView, statusJson, statusUrl } from './job-status.view.js';
import { JobControlService } from './job-control.service.js';
import { IdempotencyService } from './idempotency.service.js';
import { JobsService } from './jobs.service.js';
import { submissionAnswer } from './submission.answer.js';
import { SubmissionService } from './submission.service.js';
import { UploadService } from './upload.service.js';

/** A JSON submission says all in its body; an option in the query would otherwise be ignored in silence. */
const noQuery = z.strictObject({});

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
  ) {}

  @Post()
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
    const origin = this.origin.of(request);
    const submitted = await this.idempotency.once(caller, keyedRequest(request), (key) => {
      if (body instanceof StreamedBody) return this.uploads.submit(caller, query, body, key, origin);
      parseInput(noQuery, query);
      return this.submissions.submit(caller, body, key, origin);
    });
    return submissionAnswer(submitted, origin, reply);
  }

  @Get()
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
  @HttpCode(204)
  async remove(@Caller() caller: Principal, @Param('id') id: string): Promise<void> {
    await this.control.remove(caller, id);
  }

  @Post(':id/kill')
  @HttpCode(200)
  @Header('Content-Type', JSON_UTF8)
  async kill(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    const killed = await this.control.kill(caller, id);
    return statusJson(await this.jobs.status(caller, killed), this.origin.of(request));
  }

  @Post(':id/pause')
  @HttpCode(200)
  async pause(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    await this.control.pause(caller, id);
    return jobView(await this.jobs.job(caller, id), this.origin.of(request));
  }

  @Post(':id/resume')
  @HttpCode(200)
  async resume(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    await this.control.resume(caller, id);
    return jobView(await this.jobs.job(caller, id), this.origin.of(request));
  }

  @Post(':id/retry')
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
