import { Controller, Get, Header, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { DomainError, invalid } from '../errors.js';
import { goneSignal } from '../http/closing.js';
import { tagged } from '../http/etag.js';
import { Origin } from '../http/origin.js';
import { PAGE_SIZE_MAX, pageAnswer, pageQuery, pageRequest } from '../http/paging.js';
import { preferredWait } from '../http/prefer.js';
import { parseInput } from '../http/validate.js';
import { jobFilter, jobFilters } from './job.schemas.js';
import { resultsUrl, statusJson } from './job-status.view.js';
import { JobsService } from './jobs.service.js';
import { StatusForms } from './status-forms.js';
import { StatusPolls } from './status-polls.js';

export const JSON_UTF8 = 'application/json; charset=utf-8';

export const jobListQuery = z.strictObject({ ...pageQuery, ...jobFilters });

const manyQuery = z.strictObject({
  ids: z.string('expected ids separated by commas').min(1, 'expected ids'),
});

/** The polled resource: the seven keys, as the seed of this service has them. */
@Controller('api/v2/job_statuses')
export class JobStatusesController {
  constructor(
    private readonly jobs: JobsService,
    private readonly polls: StatusPolls,
    private readonly origin: Origin,
    private readonly forms: StatusForms,
  ) {}

  @Get()
  @Header('Content-Type', JSON_UTF8)
  async list(@Caller() caller: Principal, @Req() request: FastifyRequest, @Query() query: unknown) {
    const asked = parseInput(jobListQuery, query);
    const page = await this.jobs.list(caller, jobFilter(asked), pageRequest(asked));
    const origin = this.origin.of(request);
    const statuses = page.rows.map((row) => statusJson({ ...row, results: '[]' }, origin));
    const { meta, links } = pageAnswer(page, this.origin.urlOf(request), (row) => row.id);
    return `{"job_statuses":[${statuses.join(',')}],"meta":${JSON.stringify(meta)},"links":${JSON.stringify(links)}}`;
  }

  @Get('show_many')
  @Header('Content-Type', JSON_UTF8)
  async showMany(@Caller() caller: Principal, @Req() request: FastifyRequest, @Query() query: unknown) {
    const ids = parseInput(manyQuery, query).ids.split(',');
    if (ids.length > PAGE_SIZE_MAX)
      throw new DomainError('TooManyValues', `Expected at most ${PAGE_SIZE_MAX} ids, got: ${ids.length}`, {
        extra: { max_count: PAGE_SIZE_MAX },
      });
    if (ids.some((id) => id.includes('\0'))) throw invalid([{ field: 'ids', description: 'expected ids' }]);
    const rows = await this.jobs.statusMany(caller, ids);
    const origin = this.origin.of(request);
    return `{"job_statuses":[${rows.map((row) => statusJson(row, origin)).join(',')}]}`;
  }

  @Get(':id')
  async show(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Param('id') id: string,
  ) {
    const form = this.forms.of(request);
    const waitSeconds = preferredWait(request.headers['prefer']);
    const { etag, body, moreAfter } = await this.polls.answer(caller, id, {
      form,
      ifNoneMatch: request.headers['if-none-match'],
      waitSeconds,
      signal: goneSignal(reply),
    });
    if (waitSeconds !== null) void reply.header('Preference-Applied', `wait=${waitSeconds}`);
    if (moreAfter !== null) void reply.header('Link', `<${resultsUrl(form.origin, id, moreAfter)}>; rel="next"`);
    return tagged(request, reply, etag, body);
  }
}
