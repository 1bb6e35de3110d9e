import { Controller, Get, Header, Param, StreamableFile } from '@nestjs/common';
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { z } from 'zod';
import { Public } from '../auth/authenticated.guard.js';
import { notFound } from '../errors.js';
import { Operation } from '../http/operation.js';
import { OpenApiService } from './openapi.service.js';

const require = createRequire(import.meta.url);

/** What the page is made of, by name: nothing of it comes from another host. */
const FILES = new Map([
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8'],
  ['favicon-32x32.png', 'image/png'],
]);

/** URLs are relative to the page, which a proxy may have under another path. */
const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Tally API</title>
    <link rel="icon" href="docs/favicon-32x32.png">
    <link rel="stylesheet" href="docs/swagger-ui.css">
  </head>
  <body>
    <div id="api"></div>
    <noscript><p>This page needs JavaScript; the document itself is at <a href="openapi.json">openapi.json</a>.</p></noscript>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/start.js"></script>
  </body>
</html>
`;

const START = `SwaggerUIBundle({
  url: new URL('openapi.json', location.href).href,
  dom_id: '#api',
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: false,
  defaultModelsExpandDepth: 0,
});
`;

/** Swagger UI sets styles of its own on elements and has its icons in data URLs. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const html = { 'text/html': z.string() };

/** The API described, for programs and for people. */
@Public()
@Controller()
export class OpenApiController {
  constructor(private readonly document: OpenApiService) {}

  @Get('openapi.json')
  @Header('Content-Type', 'application/json; charset=utf-8')
  @Header('Cache-Control', 'no-cache')
  @Operation({
    id: 'showOpenApi',
    tag: 'Service',
    summary: 'This document',
    answers: {
      200: {
        description: 'OpenAPI 3.1',
        content: { 'application/json': z.looseObject({ openapi: z.literal('3.1.0') }) },
      },
    },
    isJson: false,
  })
  show(): string {
    return this.document.text();
  }

  @Get('docs')
  @Header('Content-Type', 'text/html; charset=utf-8')
  @Header('Content-Security-Policy', POLICY)
  @Header('X-Content-Type-Options', 'nosniff')
  @Operation({
    id: 'showDocs',
    tag: 'Service',
    summary: 'This document as a page',
    answers: { 200: { description: 'The page', content: html } },
    isJson: false,
  })
  page(): string {
    return PAGE;
  }

  @Get('docs/:file')
  @Header('Cache-Control', 'public, max-age=3600')
  @Header('X-Content-Type-Options', 'nosniff')
  @Operation({
    id: 'showDocsFile',
    tag: 'Service',
    summary: 'What the page is made of',
    path: z.object({ file: z.enum(['start.js', ...FILES.keys()]) }),
    answers: {
      200: {
        description: 'The file',
        content: {
          'text/css': z.string(),
          'text/javascript': z.string(),
          'image/png': z.string().meta({ format: 'binary' }),
        },
      },
    },
    errors: ['RecordNotFound'],
    isJson: false,
  })
  file(@Param('file') name: string): StreamableFile {
    if (name === 'start.js')
      return new StreamableFile(Buffer.from(START), { type: 'text/javascript; charset=utf-8' });
    const type = FILES.get(name);
    if (type === undefined) throw notFound();
    return new StreamableFile(createReadStream(require.resolve(`swagger-ui-dist/${name}`)), { type });
  }
}
