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
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { Origin } from '../http/origin.js';
import { pageAnswer, pageRequest } from '../http/paging.js';
import { parseInput } from '../http/validate.js';
import { jobFilter } from './job.schemas.js';
import { jobListQuery, JSON_UTF8 } from './job-statuses.controller.js';
import { jobView, statusJson, statusUrl } from './job-status.view.js';
import { JobControlService } from './job-control.service.js';
import { JobsService } from './jobs.service.js';

/** A JSON submission says all in its body; an option in the query would otherwise be ignored in silence. */
const noQuery = z.strictObject({});

/** The full resource and submissions. */
@Controller('api/v2/jobs')
export class JobsController {
  constructor(
    private readonly jobs: JobsService,
    private readonly control: JobControlService,
    private readonly origin: Origin,
  ) {}

  @Post()
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async submit(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
    @Body() body: unknown,
  ) {
    parseInput(noQuery, query);
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
