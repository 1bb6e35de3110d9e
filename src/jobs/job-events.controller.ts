import { Controller, Get, Param, Query, Req, Res, StreamableFile } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller, isStillAllowed } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { goneSignal } from '../http/closing.js';
import { Operation } from '../http/operation.js';
import { noQuery, parseInput } from '../http/validate.js';
import { jobPath } from './job.answers.js';
import { JobEventsService } from './job-events.service.js';
import { StatusForms } from './status-forms.js';

const eventsHeaders = z.object({
  'Last-Event-ID': z.string().optional().describe('The id of the last event that the client has seen'),
});

/** A job's changes as they happen. */
@Controller('api/v2/jobs/:id/events')
export class JobEventsController {
  constructor(
    private readonly events: JobEventsService,
    private readonly forms: StatusForms,
  ) {}

  @Get()
  @Operation({
    id: 'watchJob',
    tag: 'Jobs',
    summary: 'A job’s changes as they happen',
    description:
      'Server-sent events: `status` with the polled resource (its `results` empty) as data, now, on each change (at most 4 a ' +
      'second) and when the job ends; then the stream closes. Comments keep the connection alive.',
    path: jobPath,
    query: noQuery,
    headers: eventsHeaders,
    answers: {
      200: {
        description: 'The events, until the job ends',
        headers: z.object({ 'Cache-Control': z.literal('no-cache, no-transform') }),
        content: { 'text/event-stream': z.string() },
      },
      204: { description: 'The job has ended, and the client has seen its last event' },
    },
    errors: ['RecordNotFound', 'RecordInvalid'],
    isJson: false,
  })
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
      isAllowed: () => isStillAllowed(request),
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
