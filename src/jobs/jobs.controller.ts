import { Body, Controller, Get, Header, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { Origin } from '../http/origin.js';
import { pageAnswer, pageRequest } from '../http/paging.js';
import { parseInput } from '../http/validate.js';
import { jobFilter } from './job.schemas.js';
import { jobListQuery, JSON_UTF8 } from './job-statuses.controller.js';
import { jobView, statusJson, statusUrl } from './job-status.view.js';
import { JobsService } from './jobs.service.js';

/** The full resource and submissions. */
@Controller('api/v2/jobs')
export class JobsController {
  constructor(
    private readonly jobs: JobsService,
    private readonly origin: Origin,
  ) {}

  @Post()
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async submit(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body() body: unknown,
  ) {
    const row = await this.jobs.submit(caller, body);
    const origin = this.origin.of(request);
    void reply.header('Location', statusUrl(origin, row.id));
    return statusJson(row, origin);
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
  async show(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    return jobView(await this.jobs.job(caller, id), this.origin.of(request));
  }
}
