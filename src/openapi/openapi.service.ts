import { Inject, Injectable } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import { readFileSync } from 'node:fs';
import { createDocument, type ZodOpenApiPathsObject } from 'zod-openapi';
import { CONFIG, type Config } from '../config/config.js';
import { liveJobs, liveStats, SINGLE_STATUS, singleStatusSchema, SUBMISSION } from '../jobs/job.answers.js';
import { SESSION_COOKIE } from '../http/session-cookie.js';
import { TaskTypes } from '../jobs/task-types.js';
import { operationObject, type LateSchemas } from './operations.js';
import { describedRoutes } from './routes.js';
import { submissionSchema } from './submissions.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const DESCRIPTION = `Bulk jobs for REST APIs: submit one job of many tasks, poll its status, read every result.

Each path under \`/api/v2\` answers with and without \`.json\` at its end. A known path asked with another method is 405
\`MethodNotAllowed\`, and an unknown path 404 \`RecordNotFound\`; what is no HTTP request at all is answered with 400, 408, 413 or
431, \`InvalidRequest\`. Every error has the same shape: a word in \`error\` that stays the same, and a sentence in \`description\`.`;

const TAGS = [
  { name: 'Job statuses', description: 'The polled resource' },
  { name: 'Jobs', description: 'Submissions, the full resource, and what can be done to a job' },
  { name: 'Results', description: 'What each task became' },
  { name: 'Workers', description: 'Who runs the tasks' },
  { name: 'Tickets', description: 'A small domain to try the service with: its writes are jobs' },
  { name: 'Sessions', description: 'How a browser signs in' },
  { name: 'Dashboard', description: 'The pages for people' },
  { name: 'Service', description: 'The service itself' },
];

type Settings = Pick<Config, 'PUBLIC_URL' | 'ENVELOPE' | 'MAX_TASKS_PER_JOB'>;

/** The OpenAPI document (3.1) of this very service: its routes, its task types and its settings. */
@Injectable()
export class OpenApiService {
  #text: string | undefined;

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly types: TaskTypes,
    @Inject(CONFIG) private readonly settings: Settings,
  ) {}

  /** As JSON text; made when it is first asked for. */
  text(): string {
    return (this.#text ??= JSON.stringify(this.#document()));
  }

  #document() {
    return createDocument(
      {
        openapi: '3.1.0',
        info: {
          title: 'Tally',
          version,
          description: DESCRIPTION,
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: [{ url: this.settings.PUBLIC_URL ?? '/' }],
        tags: TAGS,
        security: [{ password: [] }, { token: [] }, { session: [] }],
        paths: this.#paths(),
        components: {
          // What stands in streams, of which OpenAPI 3.1 can only say that they are text.
          schemas: { LiveJobs: liveJobs, LiveStats: liveStats },
          securitySchemes: {
            password: {
              type: 'http',
              scheme: 'basic',
              description: '`email:password`, or `email/token:API_TOKEN`',
            },
            token: { type: 'http', scheme: 'bearer', description: 'An API token' },
            session: {
              type: 'apiKey',
              in: 'cookie',
              name: SESSION_COOKIE,
              description: 'Of a browser that has signed in at /session',
            },
          },
        },
      },
      { allowEmptySchema: { custom: true, date: true, transform: true } },
    );
  }

  #paths(): ZodOpenApiPathsObject {
    const paths: ZodOpenApiPathsObject = {};
    const late = this.#lateSchemas();
    const order = TAGS.map(({ name }) => name);
    const routes = describedRoutes(this.discovery).sort(
      (a, b) => order.indexOf(a.operation.tag) - order.indexOf(b.operation.tag) || (a.path < b.path ? -1 : 1),
    );
    for (const route of routes)
      paths[route.path] = { ...paths[route.path], [route.method]: operationObject(route, late) };
    return paths;
  }

  /** What only a running service knows. */
  #lateSchemas(): LateSchemas {
    const types = this.types.submittableNames().flatMap((name) => this.types.get(name) ?? []);
    return new Map([
      [SINGLE_STATUS, singleStatusSchema(this.settings.ENVELOPE)],
      [SUBMISSION, submissionSchema(types, this.settings.MAX_TASKS_PER_JOB)],
    ]);
  }
}
