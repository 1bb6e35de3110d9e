import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RememberedCallers } from '../auth/remembered-callers.js';
import { tagged } from '../http/etag.js';
import { nextResults } from './job-status.view.js';
import { StatusForms } from './status-forms.js';
import { StatusPolls } from './status-polls.js';

/** As Nest registers it (job-statuses.controller.ts). */
const ROUTE = '/api/v2/job_statuses/:id';

/**
 * Answers a poll before Nest's guards and pipes have their turn, where nothing of it must be waited for: the caller is remembered,
 * and the job has ended and was looked at a moment ago. All other polls take the ordinary way, which gives the same answer.
 * docs/performance.md has what it brings.
 */
@Injectable()
export class QuickPolls {
  constructor(
    adapter: HttpAdapterHost,
    private readonly callers: RememberedCallers,
    private readonly polls: StatusPolls,
    private readonly forms: StatusForms,
  ) {
    // Hooks count for the routes made after them, and Nest makes its own when all providers are there.
    adapter.httpAdapter.getInstance<FastifyInstance>().addHook('onRoute', (route) => {
      if (route.method !== 'GET' || route.url !== ROUTE) return;
      // Behind all hooks that every request passes.
      route.onRequest = (request, reply, done) => {
        if (!this.#answer(request, reply)) done();
      };
    });
  }

  #answer(request: FastifyRequest, reply: FastifyReply): boolean {
    if (request.headers['prefer'] !== undefined) return false;
    const caller = this.callers.of(request);
    if (!caller) return false;
    const { id } = request.params as { readonly id: string };
    const form = this.forms.of(request);
    const ifNoneMatch = request.headers['if-none-match'];
    const answer = this.polls.ready(caller, id, { form, ifNoneMatch });
    if (!answer) return false;
    if (answer.moreAfter !== null) void reply.header('Link', nextResults(form.origin, id, answer.moreAfter));
    void reply.send(tagged(request, reply, answer.etag, answer.body));
    return true;
  }
}
