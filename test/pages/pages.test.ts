import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseConfig } from '../../src/config/config.js';
import { ErrorFilter } from '../../src/http/error.filter.js';
import { fastifyAdapter } from '../../src/http/fastify.js';
import { PagesModule } from '../../src/pages/pages.module.js';

const INDEX =
  '<!doctype html><title>Tally</title><script type="module" src="/assets/index-Ab3_9.js"></script>';
const SCRIPT = 'document.title = "Tally";\n'.repeat(100);
const IMMUTABLE = 'public, max-age=31536000, immutable';

let directory: string;
let built: Pages;
let unbuilt: Pages;

interface Pages {
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Got>;
  readonly close: () => Promise<void>;
}

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

async function serve(files: string): Promise<Pages> {
  const module = await Test.createTestingModule({ imports: [PagesModule.of(files)] }).compile();
  const app = module.createNestApplication<NestFastifyApplication>(fastifyAdapter(parseConfig({})), {
    bodyParser: false,
  });
  app.useLogger(false);
  app.useGlobalFilters(new ErrorFilter());
  await app.listen(0, '127.0.0.1');
  const { port } = new URL(await app.getUrl());
  // Not fetch: it inflates, and rewrites a path that leads out of the folder.
  const get = (path: string, headers = {}) =>
    new Promise<Got>((resolve, reject) => {
      request({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
        response.setEncoding('latin1');
        text(response).then(
          (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
          reject,
        );
      })
        .on('error', reject)
        .end();
    });
  return { get, close: () => app.close() };
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tally-pages-'));
  const files = join(directory, 'dashboard');
  await mkdir(join(files, 'assets'), { recursive: true });
  const script = join(files, 'assets', 'index-Ab3_9.js');
  await Promise.all([
    writeFile(join(files, 'index.html'), INDEX),
    writeFile(script, SCRIPT),
    writeFile(`${script}.br`, brotliCompressSync(SCRIPT)),
    writeFile(`${script}.gz`, gzipSync(SCRIPT)),
    writeFile(join(files, 'assets', 'index-Cd4.css'), 'body{}'),
    writeFile(join(directory, 'secret.txt'), 'secret'),
  ]);
  built = await serve(files);
  unbuilt = await serve(join(directory, 'nothing'));
});

afterAll(async () => {
  await Promise.all([built.close(), unbuilt.close()]);
  await rm(directory, { recursive: true });
});

describe('the dashboard', () => {
  test.each([
    '/',
    '/jobs/01a20a67351e77469737f06e3f542561',
    '/submit',
    '/workers',
    '/sign-in',
    '/jobs/x?tab=failed',
  ])('is one page at %s, asked for anew each time', async (path) => {
    const { status, headers, body } = await built.get(path);
    expect([status, body]).toEqual([200, INDEX]);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['cache-control']).toBe('no-cache');
    const again = await built.get(path, { 'if-none-match': String(headers['etag']) });
    expect([again.status, again.body]).toEqual([304, '']);
  });

  test('runs its own script alone, talks to its own host alone, and stands in no frame', async () => {
    const { headers } = await built.get('/');
    expect(String(headers['content-security-policy']).split('; ')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
      "connect-src 'self'",
      "font-src 'self'",
      "base-uri 'none'",
      "form-action 'self'",
      "frame-ancestors 'none'",
    ]);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    });
  });

  test('has its files kept for a year, since another content has another name', async () => {
    const script = await built.get('/assets/index-Ab3_9.js');
    expect([script.status, script.body]).toEqual([200, SCRIPT]);
    expect(script.headers).toMatchObject({
      'content-type': 'application/javascript; charset=utf-8',
      'cache-control': IMMUTABLE,
      'x-content-type-options': 'nosniff',
    });
    const style = await built.get('/assets/index-Cd4.css');
    expect(style.headers).toMatchObject({
      'content-type': 'text/css; charset=utf-8',
      'cache-control': IMMUTABLE,
    });
  });

  test.each([
    ['br', 'gzip, deflate, br', brotliCompressSync(SCRIPT)],
    ['gzip', 'gzip', gzipSync(SCRIPT)],
  ])('sends what was compressed when it was built, as %s', async (encoding, accepted, bytes) => {
    const { status, headers, body } = await built.get('/assets/index-Ab3_9.js', {
      'accept-encoding': accepted,
    });
    expect([status, headers['content-encoding']]).toEqual([200, encoding]);
    expect(headers['content-type']).toMatch(/^application\/javascript/);
    expect(headers).toMatchObject({
      vary: expect.stringMatching(/accept-encoding/i),
      'cache-control': IMMUTABLE,
    });
    expect(Buffer.from(body, 'latin1')).toEqual(bytes);
  });

  test.each([
    '/assets/nothing.js',
    '/assets/',
    '/assets',
    '/assets/..%2f..%2fsecret.txt',
    '/assets/../../secret.txt',
    '/assets/%2e%2e',
    '/assets/.hidden.js',
    '/index.html',
    '/secret.txt',
  ])('has nothing at %s', async (path) => {
    const { status, headers, body } = await built.get(path);
    expect([status, JSON.parse(body)]).toEqual([404, { error: 'RecordNotFound', description: 'Not found' }]);
    expect(headers['cache-control'] ?? '').not.toContain('immutable');
  });

  test('says in one sentence that it was not built', async () => {
    for (const path of ['/', '/submit']) {
      const { status, body } = await unbuilt.get(path);
      expect([status, JSON.parse(body)]).toEqual([
        404,
        { error: 'RecordNotFound', description: expect.stringMatching(/^The dashboard is not built[^.]*$/) },
      ]);
    }
    expect((await unbuilt.get('/assets/index-Ab3_9.js')).status).toBe(404);
  });
});
