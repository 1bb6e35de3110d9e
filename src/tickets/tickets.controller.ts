import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { JSON_UTF8 } from '../http/etag.js';
import { keyedRequest } from '../http/keyed-request.js';
import { Operation } from '../http/operation.js';
import { Origin } from '../http/origin.js';
import { pageAnswer, pageQuery, pageRequest } from '../http/paging.js';
import { noQuery, parseInput } from '../http/validate.js';
import { IdempotencyService, type SubmissionKey } from '../jobs/idempotency.service.js';
import { SUBMISSION_ERRORS, submissionAnswers, submissionHeaders } from '../jobs/job.answers.js';
import type { StatusRow } from '../jobs/job.store.js';
import { StatusForms } from '../jobs/status-forms.js';
import { submissionAnswer } from '../jobs/submission.answer.js';
import { oneTicket, ticketList, ticketPath } from './ticket.answers.js';
import { createManyBody, destroyQuery, updateManyBody, updateQuery } from './ticket.schemas.js';
import { ticketView } from './ticket.view.js';
import { TicketsService } from './tickets.service.js';

const listQuery = z.strictObject(pageQuery);

const written = {
  tag: 'Tickets',
  headers: submissionHeaders,
  answers: submissionAnswers,
  errors: SUBMISSION_ERRORS,
} as const;

/** Tickets: writes are jobs, answered with the job's status; reads show what the jobs did. */
@Controller('api/v2/tickets')
export class TicketsController {
  constructor(
    private readonly tickets: TicketsService,
    private readonly idempotency: IdempotencyService,
    private readonly origin: Origin,
    private readonly forms: StatusForms,
  ) {}

  @Post('create_many')
  @Operation({
    ...written,
    id: 'createManyTickets',
    summary: 'Create tickets',
    description:
      'A job of type `tickets.create`. A title has two names, `title` and `subject`, and so has a description.',
    query: noQuery,
    body: { content: { 'application/json': createManyBody } },
  })
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async createMany(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
    @Body() body: unknown,
  ) {
    return this.#once(caller, request, reply, (key) => this.tickets.createMany(caller, query, body, key));
  }

  @Put('update_many')
  @Operation({
    ...written,
    id: 'updateManyTickets',
    summary: 'Change tickets',
    description:
      'A job of type `tickets.update`: with `ids` the same changes for each of them, without them each ticket brings its own.',
    query: updateQuery,
    body: { content: { 'application/json': updateManyBody } },
  })
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async updateMany(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
    @Body() body: unknown,
  ) {
    return this.#once(caller, request, reply, (key) => this.tickets.updateMany(caller, query, body, key));
  }

  @Delete('destroy_many')
  @Operation({
    ...written,
    id: 'destroyManyTickets',
    summary: 'Delete tickets',
    description: 'A job of type `tickets.delete`.',
    query: destroyQuery,
  })
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async destroyMany(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
  ) {
    return this.#once(caller, request, reply, (key) => this.tickets.destroyMany(caller, query, key));
  }

  @Get()
  @Operation({
    id: 'listTickets',
    tag: 'Tickets',
    summary: 'The account’s tickets, the newest first',
    query: listQuery,
    answers: { 200: { description: 'A page of tickets', content: { 'application/json': ticketList } } },
    errors: ['RecordInvalid'],
  })
  async list(@Caller() caller: Principal, @Req() request: FastifyRequest, @Query() query: unknown) {
    const page = await this.tickets.list(caller, pageRequest(parseInput(listQuery, query)));
    const origin = this.origin.of(request);
    return {
      tickets: page.rows.map((ticket) => ticketView(ticket, origin)),
      ...pageAnswer(page, this.origin.urlOf(request), (ticket) => String(ticket.id)),
    };
  }

  @Get(':id')
  @Operation({
    id: 'showTicket',
    tag: 'Tickets',
    summary: 'One ticket',
    path: ticketPath,
    answers: { 200: { description: 'The ticket', content: { 'application/json': oneTicket } } },
    errors: ['RecordNotFound'],
  })
  async show(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    return { ticket: ticketView(await this.tickets.ticket(caller, id), this.origin.of(request)) };
  }

  async #once(
    caller: Principal,
    request: FastifyRequest,
    reply: FastifyReply,
    submit: (key: SubmissionKey | null) => Promise<StatusRow>,
  ): Promise<string> {
    const submitted = await this.idempotency.once(caller, keyedRequest(request), submit);
    return submissionAnswer(submitted, this.forms.of(request), reply);
  }
}
