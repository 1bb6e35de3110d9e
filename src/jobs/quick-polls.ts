import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { RememberedCallers } from '../auth/remembered-callers.js';
import { JSON_UTF8, tagHeaders } from '../http/etag.js';
import { QuickLane, type QuickAnswer } from '../http/quick-lane.js';
import { nextResults } from './job-status.view.js';
import { StatusForms } from './status-forms.js';
import { StatusPolls } from './status-polls.js';

/** As Nest registers it (job-statuses.controller.ts). */
const ROUTE = '/api/v2/job_statuses/:id';
const BEFORE_ID = ROUTE.slice(0, ROUTE.indexOf(':'));
const AFTER_ID = '.json';

/**
 * Answers a poll where nothing of it must be waited for: the caller is remembered, and the job has ended and was looked at a
 * moment ago. All other polls take the ordinary way.
 */
@Injectable()
export class QuickPolls {
  constructor(
    adapter: HttpAdapterHost,
    private readonly callers: RememberedCallers,
    private readonly polls: StatusPolls,
    private readonly forms: StatusForms,
  ) {
    const lane = QuickLane.of(adapter.httpAdapter.getInstance<FastifyInstance>());
    lane.serve(ROUTE, (request) => this.#answer(request));
  }

  #answer({ url = '', headers, socket }: IncomingMessage): QuickAnswer | null {
    if (!url.startsWith(BEFORE_ID)) return null;
    const id = url.slice(BEFORE_ID.length, url.endsWith(AFTER_ID) ? -AFTER_ID.length : undefined);
    const caller = this.callers.of(headers.authorization);
    if (!caller) return null;
    const form = this.forms.of({ protocol: 'http', host: headers.host ?? '', socket });
    const answer = this.polls.ready(caller, id, { form, ifNoneMatch: headers['if-none-match'] });
    if (!answer) return null;
    const { etag, body, moreAfter } = answer;
    const link = moreAfter === null ? [] : ['link', nextResults(form.origin, id, moreAfter)];
    if (body === null) return { status: 304, headers: [...link, ...tagHeaders(etag)], body };
    const content = ['content-type', JSON_UTF8, 'content-length', String(body.length)];
    return { status: 200, headers: [...link, ...tagHeaders(etag), ...content], body };
  }
}
