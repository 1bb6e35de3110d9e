import { Controller, Get, Query, Req, Res, StreamableFile } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Caller, isStillAllowed } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { goneSignal } from '../http/closing.js';
import { Operation } from '../http/operation.js';
import { Origin } from '../http/origin.js';
import { noQuery, parseInput } from '../http/validate.js';
import { LiveEventsService } from './live-events.service.js';

/** Every change of the account's jobs as it happens. */
@Controller('api/v2/jobs/events')
export class LiveEventsController {
  constructor(
    private readonly events: LiveEventsService,
    private readonly origin: Origin,
  ) {}

  @Get()
  @Operation({
    id: 'watchJobs',
    tag: 'Jobs',
    summary: 'All changes of the account’s jobs as they happen',
    description:
      'Server-sent events, until the client goes. `jobs` (at most 4 a second) has the jobs that have changed since the last one, ' +
      'as `LiveJobs`; the first has `snapshot: true` with every working job and those that have ended in the last minute, so that ' +
      'nothing is lost by a new connection. `stats` (about one a second) has the account’s queue, as `LiveStats`. Comments keep ' +
      'the connection alive.',
    query: noQuery,
    answers: {
      200: {
        description: 'The events',
        headers: z.object({ 'Cache-Control': z.literal('no-cache, no-transform') }),
        content: { 'text/event-stream': z.string() },
      },
    },
    errors: ['RecordInvalid'],
    isJson: false,
  })
  show(
    @Caller() caller: Principal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Query() query: unknown,
  ): StreamableFile {
    parseInput(noQuery, query);
    const events = this.events.open({
      accountId: caller.accountId,
      origin: this.origin.of(request),
      signal: goneSignal(reply),
      isAllowed: () => isStillAllowed(request),
    });
    // Proxies must pass each event on at once.
    void reply.header('Cache-Control', 'no-cache, no-transform').header('X-Accel-Buffering', 'no');
    return new StreamableFile(events, { type: 'text/event-stream' });
  }
}
