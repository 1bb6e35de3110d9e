import { Controller, Get, Header, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { DomainError, invalid } from '../errors.js';
import { goneSignal } from '../http/closing.js';
import { ifNoneMatch, notModified, taggedHeaders } from '../http/described.js';
import { JSON_UTF8, tagged } from '../http/etag.js';
import { Operation } from '../http/operation.js';
import { Origin } from '../http/origin.js';
import { PAGE_SIZE_MAX, pageAnswer, pageQuery, pageRequest } from '../http/paging.js';
import { preferredWait } from '../http/prefer.js';
import { parseInput } from '../http/validate.js';
import { jobPath, jobStatusList, jobStatusMany, singleStatusContent } from './job.answers.js';
import { jobFilter, jobFilters } from './job.schemas.js';
import { nextResults, statusJson } from './job-status.view.js';
import { JobsService } from './jobs.service.js';
import { StatusForms } from './status-forms.js';
import { StatusPolls } from './status-polls.js';

export const jobListQuery = z.strictObject({ ...pageQuery, ...jobFilters });

const manyQuery = z.strictObject({
  ids: z
    .string('expected ids separated by commas')
    .min(1, 'expected ids')
    .describe('Ids of jobs, separated by commas, 100 at most'),
});

const pollHeaders = z.object({
  'If-None-Match': ifNoneMatch,
  Prefer: z
    .string()
    .optional()
    .describe(
      '`wait=N` holds the answer until the job ends (with If-None-Match: until it changes) or N seconds (60 at most) have passed',
    ),
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
  @Operation({
    id: 'listJobStatuses',
    tag: 'Job statuses',
    summary: 'The account’s jobs, the newest first',
    query: jobListQuery,
    answers: {
      200: {
        description: 'A page of jobs, without their results',
        content: { 'application/json': jobStatusList },
      },
    },
    errors: ['RecordInvalid'],
  })
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
  @Operation({
    id: 'showManyJobStatuses',
    tag: 'Job statuses',
    summary: 'Several jobs at once',
    query: manyQuery,
    answers: {
      200: {
        description: 'The jobs in the order asked; what the account does not have is left out',
        content: { 'application/json': jobStatusMany },
      },
    },
    errors: ['RecordInvalid', 'TooManyValues'],
  })
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
  @Operation({
    id: 'showJobStatus',
    tag: 'Job statuses',
    summary: 'How far a job is, and its results so far',
    description:
      'Progress and results are of one moment. Cheap to ask often; with `Prefer: wait` there is no need to.',
    path: jobPath,
    headers: pollHeaders,
    answers: {
      200: {
        description: 'The job',
        headers: taggedHeaders.extend({
          Link: z
            .string()
            .optional()
            .describe('`rel="next"`: where the results go on that are not in the body'),
          'Preference-Applied': z.string().optional().describe('`wait=N`, where the request preferred it'),
        }),
        content: singleStatusContent,
      },
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
    const form = this.forms.of(request);
    const waitSeconds = preferredWait(request.headers['prefer']);
    const { etag, body, moreAfter } = await this.polls.answer(caller, id, {
      form,
      ifNoneMatch: request.headers['if-none-match'],
      waitSeconds,
      signal: () => goneSignal(reply),
    });
    if (waitSeconds !== null) void reply.header('Preference-Applied', `wait=${waitSeconds}`);
    if (moreAfter !== null) void reply.header('Link', nextResults(form.origin, id, moreAfter));
    return tagged(request, reply, etag, body);
  }
}
