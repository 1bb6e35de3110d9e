import { Controller, Get, Param, Query, Req, Res, StreamableFile } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { goneSignal } from '../http/closing.js';
import { parseInput } from '../http/validate.js';
import { JobEventsService } from './job-events.service.js';
import { StatusForms } from './status-forms.js';

const noQuery = z.strictObject({});

/** A job's changes as they happen. */
@Controller('api/v2/jobs/:id/events')
export class JobEventsController {
  constructor(
    private readonly events: JobEventsService,
    private readonly forms: StatusForms,
  ) {}

  @Get()
  async show(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Param('id') id: string,
    @Query() query: unknown,
  ) {
    parseInput(noQuery, query);
    const events = await this.events.open(caller, id, {
      form: this.forms.of(request),
      lastEventId: request.headers['last-event-id']?.toString(),
      signal: goneSignal(reply),
    });
    if (!events) {
      // What tells an EventSource not to come back.
      void reply.status(204);
      return undefined;
    }
    // Proxies must pass each event on at once.
    void reply.header('Cache-Control', 'no-cache, no-transform').header('X-Accel-Buffering', 'no');
    return new StreamableFile(events, { type: 'text/event-stream' });
  }
}
