import { Controller, Get, Inject, Param, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Public } from '../auth/authenticated.guard.js';
import { DomainError, notFound } from '../errors.js';
import { Operation } from '../http/operation.js';
import { PAGE_HEADERS, POLICY } from './page-headers.js';

/** The name under which Nest hands out where the files are. */
export const DASHBOARD_FILES = Symbol('DASHBOARD_FILES');

const INDEX = 'index.html';
/** What the build of the dashboard names its files; also those beside which a compressed one stands. */
const FILE = /^[\w-]+(?:\.[\w-]+)+$/;

const page = (id: string, summary: string) =>
  ({
    id,
    tag: 'Dashboard',
    summary,
    answers: {
      200: {
        description: 'The page, which shows what its address says',
        headers: z.object({
          'Content-Security-Policy': z.literal(POLICY),
          'Cache-Control': z.literal('no-cache'),
        }),
        content: { 'text/html': z.string() },
      },
      304: { description: 'It is the one that the browser has' },
    },
    errors: ['RecordNotFound'],
    isJson: false,
  }) as const;

/** The dashboard: one page, whose script reads the address; and what it is made of. */
@Public()
@Controller()
export class PagesController {
  constructor(@Inject(DASHBOARD_FILES) private readonly directory: string) {}

  @Get()
  @Operation(page('showDashboard', 'The dashboard: the account’s jobs'))
  home(@Res() reply: FastifyReply): void {
    this.#sendIndex(reply);
  }

  @Get('jobs/:id')
  @Operation({
    ...page('showDashboardJob', 'The dashboard: a job'),
    path: z.object({ id: z.string().describe('Read by the page') }),
  })
  job(@Res() reply: FastifyReply): void {
    this.#sendIndex(reply);
  }

  @Get('submit')
  @Operation(page('showDashboardForm', 'The dashboard: a form to submit a job'))
  submit(@Res() reply: FastifyReply): void {
    this.#sendIndex(reply);
  }

  @Get('workers')
  @Operation(page('showDashboardWorkers', 'The dashboard: the workers'))
  workers(@Res() reply: FastifyReply): void {
    this.#sendIndex(reply);
  }

  @Get('sign-in')
  @Operation(page('showDashboardSignIn', 'The dashboard: the form to sign in'))
  signIn(@Res() reply: FastifyReply): void {
    this.#sendIndex(reply);
  }

  /** Each name has a hash of the content in it. */
  @Get('assets/:file')
  @Operation({
    id: 'showDashboardFile',
    tag: 'Dashboard',
    summary: 'What the dashboard is made of',
    path: z.object({ file: z.string().describe('As index.html names it') }),
    answers: {
      200: {
        description: 'The file',
        headers: z.object({ 'Cache-Control': z.literal('public, max-age=31536000, immutable') }),
        content: Object.fromEntries(
          [
            'application/javascript',
            'text/css',
            'image/svg+xml',
            'image/png',
            'font/woff2',
            'application/json',
          ].map((type) => [type, z.unknown()]),
        ),
      },
    },
    errors: ['RecordNotFound'],
    isJson: false,
  })
  file(@Res() reply: FastifyReply, @Param('file') name: string): void {
    if (!FILE.test(name) || !existsSync(join(this.directory, 'assets', name))) throw notFound();
    void reply
      .headers(PAGE_HEADERS)
      .sendFile(`assets/${name}`, { maxAge: '365d', immutable: true, etag: false, lastModified: false });
  }

  #sendIndex(reply: FastifyReply): void {
    if (!existsSync(join(this.directory, INDEX)))
      throw new DomainError('RecordNotFound', 'The dashboard is not built here: npm run build makes it');
    // Revalidated at each visit, by its ETag: it names the files of the newest build.
    void reply
      .headers(PAGE_HEADERS)
      .header('Cache-Control', 'no-cache')
      .sendFile(INDEX, { cacheControl: false });
  }
}
