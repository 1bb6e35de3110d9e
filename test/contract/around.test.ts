import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Heartbeat } from '../../src/workers/heartbeat.js';
import { expectError, serve, type Served } from '../http/http-support.js';
import { TestApp } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { Way } from '../support/way.js';

let served: Served;
beforeAll(async () => {
  served = await serve({ role: 'all', env: { DRAIN_SECONDS: '0' } });
});
afterAll(() => served.stop());

const get = (path: string) => served.app.get(path, null);

describe('whoever watches the process', () => {
  test('is told by /healthz that it is alive, and by /readyz that it can serve', async () => {
    for (const path of ['/healthz', '/readyz']) {
      const { status, body } = await get(path);
      expect([path, status, body]).toEqual([path, 200, { status: 'ok' }]);
    }
  });

  test('is told by /readyz alone that the database is away', async () => {
    const database = await createTestDatabase();
    const way = new Way(new URL(database.url));
    await way.open();
    const app = await TestApp.start(way.url, { role: 'api' });
    await way.cut();
    try {
      const answer = await app.get('/readyz', null);
      expectError(answer, 503, 'Unavailable');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      expect((await app.get('/healthz', null)).status).toBe(200);
    } finally {
      await app.stop();
      await database.drop();
    }
  });

  test('is told by /readyz that the worker of the process cannot be heard of', async () => {
    const own = await serve({ role: 'all', env: { DRAIN_SECONDS: '0' } });
    const now = performance.now.bind(performance);
    try {
      await own.app.app.get(Heartbeat).stop();
      expect((await own.app.get('/readyz', null)).status).toBe(200);
      // Longer than its lease of 15 seconds later.
      performance.now = () => now() + 16_000;
      expectError(await own.app.get('/readyz', null), 503, 'Unavailable');
      expect((await own.app.get('/healthz', null)).status).toBe(200);
    } finally {
      performance.now = now;
      await own.stop();
    }
  });

  test('needs no credentials for that', async () => {
    const answer = await served.app.get('/healthz', null, { authorization: 'Basic nonsense' });
    expect(answer.status).toBe(200);
  });
});

describe('the API describes itself', () => {
  test('at /openapi.json, for programs', async () => {
    const { status, body } = await get('/openapi.json');
    expect([status, body.openapi]).toEqual([200, '3.1.0']);
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining([
        '/api/v2/job_statuses/{id}.json',
        '/api/v2/job_statuses/show_many.json',
        '/api/v2/jobs.json',
        '/api/v2/jobs/{id}/kill.json',
        '/api/v2/tickets/create_many.json',
        '/healthz',
      ]),
    );
  });

  test('at /docs, for people', async () => {
    const { status, headers, text } = await get('/docs');
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(text).toMatch(/<title>.+<\/title>/);
  });
});
