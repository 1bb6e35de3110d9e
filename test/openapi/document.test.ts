import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { z } from 'zod';
import { succeeded } from '../../src/jobs/task-handler.js';
import { OpenApiService } from '../../src/openapi/openapi.service.js';
import type { TestApp } from '../support/app.js';
import { ANYTHING, serve, type Served } from '../http/http-support.js';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly responses: Readonly<Record<string, unknown>>;
  readonly security?: readonly object[];
}

interface Document {
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const ORDERS = {
  options: { type: 'orders.import', task: z.strictObject({ sku: z.string(), amount: z.int().min(1) }) },
  handler: { run: () => succeeded(null) },
};
/** JSON Schema has no words for its task. */
const ODD = {
  options: { type: 'odd.one', task: z.instanceof(Map) },
  handler: { run: () => succeeded(null) },
};

let served: Served;
let document: Document;
beforeAll(async () => {
  served = await serve({ handlers: [ANYTHING, ORDERS, ODD] });
  document = documentOf(served.app);
});
afterAll(() => served.stop());

const documentOf = (app: TestApp) => JSON.parse(app.app.get(OpenApiService).text()) as Document;

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

interface Submission {
  readonly properties: {
    readonly type: { readonly const: string };
    readonly tasks: { readonly items: object };
  };
}

/** What a submission of this type may be. */
function submissionOf(type: string): Submission {
  const { requestBody } = document.paths['/api/v2/jobs.json']!['post'] as unknown as {
    requestBody: { content: { 'application/json': { schema: { anyOf: Submission[] } } } };
  };
  const { anyOf } = requestBody.content['application/json'].schema;
  return anyOf.find((one) => one.properties.type.const === type)!;
}

describe('the OpenAPI document', () => {
  test('is OpenAPI 3.1, also to a validator from outside', async () => {
    const validator = new Validator();
    const result = await validator.validate(JSON.parse(JSON.stringify(document)) as Record<string, never>);
    expect(result).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  test('has every path and method that the service answers, and no other', () => {
    const documented = operations().map(
      ({ path, method }) =>
        `${method.toUpperCase()} ${path.replace(/^(\/api\/.*)\.json$/, '$1').replace(/\{(\w+)\}/g, ':$1')}`,
    );
    expect(documented.length).toBeGreaterThan(20);
    expect(documented.sort()).toEqual([...served.app.contract.routes].sort());
  });

  test('names each operation once and says what it is', () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { operation } of operations()) expect(operation.summary).toMatch(/^[A-Z].{5,}[^.]$/);
  });

  test('has each parameter of each path', () => {
    for (const { path, operation } of operations()) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const described = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect([path, described.map(({ name }) => name)]).toEqual([path, names]);
    }
  });

  test('says of everything but the service itself that it wants credentials', () => {
    for (const { path, operation } of operations()) {
      const isOpen = !path.startsWith('/api/');
      expect([path, operation.security]).toEqual([path, isOpen ? [] : undefined]);
      // Who signs in brings no credentials, and may still be refused.
      const isSession = path === '/session' && operation.operationId !== 'signOut';
      // METRICS_TOKEN is no user's.
      const mayRefuse = isSession || path === '/metrics';
      expect([path, '401' in operation.responses]).toEqual([path, !isOpen || mayRefuse]);
    }
  });

  test('says of each task type what its tasks are, also of those from outside', () => {
    expect(submissionOf('orders.import').properties.tasks.items).toMatchObject({
      required: ['sku', 'amount'],
      additionalProperties: false,
    });
    expect(submissionOf('tickets.delete').properties.tasks.items).toMatchObject({ required: ['id'] });
    expect(submissionOf('odd.one').properties.tasks.items).toEqual({ description: 'Checked by its handler' });
  });

  test('is served to anyone', async () => {
    const answer = await served.app.get('/openapi.json', null);
    expect([answer.status, answer.body]).toEqual([200, document]);
  });
});

test('the document is that of the very service: its address, its limits, its envelope', async () => {
  const env = {
    PUBLIC_URL: 'https://example.com/tally/',
    ENVELOPE: 'job_status',
    MAX_TASKS_PER_JOB: '7',
    DEMO_TASKS: 'false',
  };
  const other = await serve({ env });
  const own = documentOf(other.app);
  expect(own.servers).toEqual([{ url: 'https://example.com/tally' }]);
  expect(JSON.stringify(own.paths['/api/v2/jobs.json'])).toContain('"maxItems":7');
  expect(JSON.stringify(own)).not.toContain('demo.sleep');
  const { content } = own.paths['/api/v2/job_statuses/{id}.json']!['get']!.responses['200'] as {
    content: { 'application/json': { schema: object } };
  };
  expect(content['application/json'].schema).toMatchObject({ required: ['job_status'] });
  await other.stop();
});

describe('the page at /docs', () => {
  test('needs no other host, and runs no script that stands in it', async () => {
    const { status, headers, text } = await served.app.get('/docs', null);
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(text).not.toMatch(/https?:|\/\/[a-z]/);
    expect(text).not.toMatch(/<script>|<script [^>]*>[^<]/);
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'; script-src 'self';/);
  });

  test('brings all that it is made of', async () => {
    const { text } = await served.app.get('/docs', null);
    const files = [...text.matchAll(/(?:href|src)="(docs\/[^"]+)"/g)].map(([, file]) => file!);
    expect(files).toHaveLength(4);
    for (const file of files) {
      const answer = await served.app.get(`/${file}`, null);
      expect([file, answer.status]).toEqual([file, 200]);
      expect(answer.text.length).toBeGreaterThan(100);
    }
  });

  test.each(['nope.js', '..%2fpackage.json', 'package.json', '%00'])('has no %s', async (name) => {
    expect((await served.app.get(`/docs/${name}`, null)).status).toBe(404);
  });
});
