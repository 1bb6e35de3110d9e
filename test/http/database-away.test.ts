import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { TestApp, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { sessionsWait } from '../support/locks.js';
import { waitFor } from '../support/wait-for.js';
import { Way } from '../support/way.js';
import { expectError, JOBS, rowsLeft, sleepJob, STATUSES } from './http-support.js';

let database: TestDatabase;
let way: Way;
let app: TestApp;
let user: TestUser;
let id: string;
beforeAll(async () => {
  database = await createTestDatabase();
  way = new Way(new URL(database.url));
  await way.open();
  app = await TestApp.start(way.url, { role: 'api' });
  user = await app.addUser();
  id = (await app.post(JOBS, user, sleepJob())).body.id;
});
afterAll(async () => {
  await app.stop();
  await way.cut();
  await database.drop();
});

const requests = () =>
  [
    ['GET', `/api/v2/job_statuses/${id}.json`],
    ['GET', STATUSES],
    ['GET', `/api/v2/job_statuses/show_many.json?ids=${id}`],
    ['GET', JOBS],
    ['GET', `/api/v2/jobs/${id}.json`],
    ['POST', JOBS, sleepJob()],
    ['GET', '/readyz'],
  ] as const;

describe('while the database is away', () => {
  test('every request that needs it is 503 with Retry-After, and all is well by itself when it is back', async () => {
    const before = await rowsLeft(app);
    for (let round = 0; round < 2; round += 1) {
      await way.cut();
      for (const [method, path, body] of requests()) {
        const answer = await app.call(method, path, user, body);
        expectError(answer, 503, 'Unavailable');
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      }
      expect((await app.get('/healthz', null)).status).toBe(200);
      expectError(await app.get(STATUSES, null), 401, 'Unauthorized');
      expectError(await app.post(JOBS, user, '{'), 400, 'InvalidJSON');
      await way.open();
      await waitFor(async () => (await app.get('/readyz', null)).status === 200);
      for (const [method, path] of requests().filter(([method]) => method === 'GET')) {
        const answer = await app.call(method, path, user);
        expect([path, answer.status]).toEqual([path, 200]);
        expect(answer.headers.has('retry-after')).toBe(false);
      }
    }
    expect(await rowsLeft(app)).toBe(before);
  });

  test('a connection to it that is reset under a statement is no cut connection of the client', async () => {
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    try {
      for (const [method, path, body] of requests().filter(([, path]) => path !== '/readyz')) {
        await holder.query('BEGIN; LOCK TABLE job_statuses');
        const answer = app.call(method, path, user, body);
        await sessionsWait(holder);
        way.reset();
        expectError(await answer, 503, 'Unavailable');
        await holder.query('ROLLBACK');
        await waitFor(async () => (await app.get('/readyz', null)).status === 200);
      }
    } finally {
      await holder.end();
    }
  });

  test('a user who has not been seen before is told 503, not 401', async () => {
    const newcomer = await app.addUser('newcomer@example.com');
    await way.cut();
    expectError(await app.get(STATUSES, newcomer), 503, 'Unavailable');
    await way.open();
    await waitFor(async () => (await app.get(STATUSES, newcomer)).status === 200);
  });
});
