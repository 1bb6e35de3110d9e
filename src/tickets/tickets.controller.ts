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
import { Origin } from '../http/origin.js';
import { pageAnswer, pageQuery, pageRequest } from '../http/paging.js';
import { parseInput } from '../http/validate.js';
import { JSON_UTF8 } from '../jobs/job-statuses.controller.js';
import { statusJson, statusUrl } from '../jobs/job-status.view.js';
import type { StatusRow } from '../jobs/job.store.js';
import { ticketView } from './ticket.view.js';
import { TicketsService } from './tickets.service.js';

const listQuery = z.strictObject(pageQuery);

/** Tickets: writes are jobs, answered with the job's status; reads show what the jobs did. */
@Controller('api/v2/tickets')
export class TicketsController {
  constructor(
    private readonly tickets: TicketsService,
    private readonly origin: Origin,
  ) {}

  @Post('create_many')
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async createMany(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
    @Body() body: unknown,
  ) {
    return this.#accepted(await this.tickets.createMany(caller, query, body), request, reply);
  }

  @Put('update_many')
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async updateMany(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
    @Body() body: unknown,
  ) {
    return this.#accepted(await this.tickets.updateMany(caller, query, body), request, reply);
  }

  @Delete('destroy_many')
  @HttpCode(202)
  @Header('Content-Type', JSON_UTF8)
  async destroyMany(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
  ) {
    return this.#accepted(await this.tickets.destroyMany(caller, query), request, reply);
  }

  @Get()
  async list(@Caller() caller: Principal, @Req() request: FastifyRequest, @Query() query: unknown) {
    const page = await this.tickets.list(caller, pageRequest(parseInput(listQuery, query)));
    const origin = this.origin.of(request);
    return {
      tickets: page.rows.map((ticket) => ticketView(ticket, origin)),
      ...pageAnswer(page, this.origin.urlOf(request), (ticket) => String(ticket.id)),
    };
  }

  @Get(':id')
  async show(@Caller() caller: Principal, @Req() request: FastifyRequest, @Param('id') id: string) {
    return { ticket: ticketView(await this.tickets.ticket(caller, id), this.origin.of(request)) };
  }

  #accepted(row: StatusRow, request: FastifyRequest, reply: FastifyReply): string {
    const origin = this.origin.of(request);
    void reply.header('Location', statusUrl(origin, row.id));
    return statusJson(row, origin);
  }
}
