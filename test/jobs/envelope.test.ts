import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { TestApp, type Answer, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { JOBS, SEVEN_KEYS, sleepJob, STATUSES } from '../http/http-support.js';

/** The same database behind a service that wraps single statuses and behind one that does not. */
let database: TestDatabase;
let wrapping: TestApp;
let bare: TestApp;
let user: TestUser;
beforeAll(async () => {
  database = await createTestDatabase();
  const env = { PUBLIC_URL: 'https://tally.example.com' };
  wrapping = await TestApp.start(database.url, { env: { ...env, ENVELOPE: 'job_status' }, role: 'api' });
  bare = await TestApp.start(database.url, { env, role: 'api' });
  user = await wrapping.addUser();
});
afterAll(async () => {
  await Promise.all([wrapping.stop(), bare.stop()]);
  await database.drop();
});

function expectWrapped(answer: Answer, status: number): void {
  expect(answer.status).toBe(status);
  expect(Object.keys(answer.body)).toEqual(['job_status']);
  expect(Object.keys(answer.body.job_status)).toEqual(SEVEN_KEYS);
}

const submit = async (): Promise<string> => (await bare.post(JOBS, user, sleepJob())).body.id as string;

describe('ENVELOPE=job_status wraps', () => {
  test('the answer to a submission, new or replayed', async () => {
    const headers = { 'idempotency-key': 'once' };
    expectWrapped(await wrapping.post(JOBS, user, sleepJob(), headers), 202);
    const again = await wrapping.post(JOBS, user, sleepJob(), headers);
    expectWrapped(again, 200);
    expect(again.headers.get('location')).toBe(again.body.job_status.url);
  });

  test('the answers of the tickets', async () => {
    const tickets = { tickets: [{ subject: 'It is broken' }] };
    expectWrapped(await wrapping.post('/api/v2/tickets/create_many.json', user, tickets), 202);
    const changes = { ticket: { status: 'open' } };
    expectWrapped(await wrapping.call('PUT', '/api/v2/tickets/update_many?ids=1', user, changes), 202);
    expectWrapped(await wrapping.call('DELETE', '/api/v2/tickets/destroy_many?ids=1', user), 202);
  });

  test('a poll and a kill', async () => {
    const id = await submit();
    expectWrapped(await wrapping.get(`/api/v2/job_statuses/${id}.json`, user), 200);
    expectWrapped(await wrapping.post(`/api/v2/jobs/${id}/kill.json`, user, undefined), 200);
  });

  test('each event', async () => {
    const id = await submit();
    await bare.post(`/api/v2/jobs/${id}/kill.json`, user, undefined);
    const { text } = await wrapping.get(`/api/v2/jobs/${id}/events`, user);
    const data = JSON.parse(/^data: (.*)$/m.exec(text)![1]!) as { job_status: { status: string } };
    expect(data.job_status.status).toBe('killed');
  });
});

describe('ENVELOPE=job_status leaves as they are', () => {
  test('lists and show_many', async () => {
    const id = await submit();
    const list = await wrapping.get(STATUSES, user);
    expect(Object.keys(list.body.job_statuses[0])).toEqual(SEVEN_KEYS);
    const many = await wrapping.get(`/api/v2/job_statuses/show_many.json?ids=${id}`, user);
    expect(Object.keys(many.body.job_statuses[0])).toEqual(SEVEN_KEYS);
  });

  test('the full resource and errors', async () => {
    const full = await wrapping.get(`/api/v2/jobs/${await submit()}.json`, user);
    expect(full.body).toMatchObject({ type: 'demo.sleep', status: 'working' });
    const missing = await wrapping.get(`/api/v2/job_statuses/${'0'.repeat(32)}.json`, user);
    expect(missing.body).toEqual({ error: 'RecordNotFound', description: 'Not found' });
  });
});

test('a bare status and a wrapped one never have the same entity tag', async () => {
  const path = `/api/v2/job_statuses/${await submit()}.json`;
  const tagOf = async (app: TestApp) => (await app.get(path, user)).headers.get('etag')!;
  const [wrappedTag, bareTag] = [await tagOf(wrapping), await tagOf(bare)];
  expect(wrappedTag).not.toBe(bareTag);
  expect((await wrapping.get(path, user, { 'if-none-match': wrappedTag })).status).toBe(304);
  expectWrapped(await wrapping.get(path, user, { 'if-none-match': bareTag }), 200);
});
