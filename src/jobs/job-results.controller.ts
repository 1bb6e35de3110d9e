import { Controller, Get, Header, Inject, Param, Query, Req, StreamableFile } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { Closing } from '../http/closing.js';
import { fileHeaders } from '../http/described.js';
import { JSON_UTF8 } from '../http/etag.js';
import { Operation } from '../http/operation.js';
import { Origin } from '../http/origin.js';
import { pageAnswer, pageQueryUpTo, pageRequest } from '../http/paging.js';
import { parseInput } from '../http/validate.js';
import { jobPath, resultList } from './job.answers.js';
import { JobResultsService } from './job-results.service.js';

/** Results in a page, at most. */
const PAGE_SIZE_MAX = 1_000;

const filters = {
  'filter[success]': z
    .enum(['true', 'false'], 'expected true or false')
    .transform((text) => text === 'true')
    .optional()
    .describe('Only the tasks that succeeded, or only those that failed'),
};
const listQuery = z.strictObject({ ...pageQueryUpTo(PAGE_SIZE_MAX), ...filters });
const exportQuery = z.strictObject(filters);

const exported = {
  tag: 'Results',
  path: jobPath,
  query: exportQuery,
  errors: ['RecordNotFound', 'RecordInvalid'],
  isJson: false,
} as const;

/** What each task of a job became. */
@Controller('api/v2/jobs/:id')
export class JobResultsController {
  constructor(
    private readonly results: JobResultsService,
    private readonly origin: Origin,
    private readonly closing: Closing,
    @Inject(CONFIG) private readonly config: Pick<Config, 'DRAIN_SECONDS'>,
  ) {}

  @Get('results')
  @Operation({
    id: 'listResults',
    tag: 'Results',
    summary: 'What the tasks of a job became, by their position',
    description:
      'Also of a working job: its later pages may then miss positions that are recorded behind the cursor.',
    path: jobPath,
    query: listQuery,
    answers: { 200: { description: 'A page of results', content: { 'application/json': resultList } } },
    errors: ['RecordNotFound', 'RecordInvalid'],
  })
  @Header('Content-Type', JSON_UTF8)
  async list(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Query() query: unknown,
  ) {
    const asked = parseInput(listQuery, query);
    const filter = { success: asked['filter[success]'] };
    const { items, page } = await this.results.page(caller, id, filter, pageRequest(asked));
    const { meta, links } = pageAnswer(page, this.origin.urlOf(request), String);
    return `{"results":[${items}],"meta":${JSON.stringify(meta)},"links":${JSON.stringify(links)}}`;
  }

  @Get('results.ndjson')
  @Operation({
    ...exported,
    id: 'exportResultsAsNdjson',
    summary: 'All results of a job, a JSON object a line',
    answers: {
      200: {
        description: 'A stream of lines; one that breaks off is not whole',
        headers: fileHeaders,
        content: { 'application/x-ndjson': z.string() },
      },
    },
  })
  async ndjson(@Caller() caller: Principal, @Param('id') id: string, @Query() query: unknown) {
    const success = parseInput(exportQuery, query)['filter[success]'];
    const lines = await this.results.ndjson(caller, id, { success });
    return this.#file(lines, 'application/x-ndjson', fileName(id, success, 'ndjson'));
  }

  @Get('results.csv')
  @Operation({
    ...exported,
    id: 'exportResultsAsCsv',
    summary: 'All results of a job as CSV',
    answers: {
      200: {
        description:
          'RFC 4180 with a header line; a cell that a spreadsheet would run begins with an apostrophe',
        headers: fileHeaders,
        content: { 'text/csv': z.string() },
      },
    },
  })
  async csv(@Caller() caller: Principal, @Param('id') id: string, @Query() query: unknown) {
    const success = parseInput(exportQuery, query)['filter[success]'];
    const lines = await this.results.csv(caller, id, { success });
    return this.#file(lines, 'text/csv; charset=utf-8; header=present', fileName(id, success, 'csv'));
  }

  /** A slow reader does not hold up the end of this process: its export is broken off, and it sees that it is not whole. */
  #file(content: Readable, type: string, name: string): StreamableFile {
    let timer: NodeJS.Timeout | undefined;
    const breakOff = () => content.destroy(new Error('the server is closing'));
    const onClosing = () => (timer = setTimeout(breakOff, this.config.DRAIN_SECONDS * 1_000));
    this.closing.signal.addEventListener('abort', onClosing);
    content.once('close', () => {
      clearTimeout(timer);
      this.closing.signal.removeEventListener('abort', onClosing);
    });
    return new StreamableFile(content, { type, disposition: `attachment; filename="${name}"` });
  }
}

const fileName = (id: string, success: boolean | undefined, extension: string): string => {
  const which = success === undefined ? 'results' : success ? 'succeeded' : 'failed';
  return `job-${id.replaceAll('-', '').toLowerCase()}-${which}.${extension}`;
};
