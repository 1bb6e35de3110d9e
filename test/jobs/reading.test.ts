import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Answer, TestUser } from '../support/app.js';
import {
  expectError,
  expectInvalid,
  JOBS,
  serve,
  SEVEN_KEYS,
  sleepJob,
  STATUSES,
  submitted,
  type Served,
} from '../http/http-support.js';

import { bigJob } from './results-support.js';

const SHOW_MANY = '/api/v2/job_statuses/show_many.json';
const NO_JOB = '0'.repeat(32);

let served: Served;
let user: TestUser;
let colleague: TestUser;
let stranger: TestUser;
let id: string;
beforeAll(async () => {
  served = await serve();
  ({ user } = served);
  colleague = await served.app.addUser('colleague@example.com');
  stranger = await served.app.addUser('stranger@example.com', 'other', 'admin');
  id = await submitted(served);
});
afterAll(() => served.stop());

const get = (path: string, as = user) => served.app.get(path, as);
const statusOf = (job: string) => `/api/v2/job_statuses/${job}.json`;
const fullOf = (job: string) => `/api/v2/jobs/${job}.json`;
const idsOf = (answer: Answer): string[] =>
  answer.body.job_statuses.map((status: { id: string }) => status.id);

const asUuid = (hex: string) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

describe('a job status', () => {
  test('is the bare object of seven keys, in their order', async () => {
    const answer = await get(statusOf(id));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(answer.headers.has('retry-after')).toBe(false);
    expect([...answer.text.matchAll(/"(\w+)":/g)].map(([, key]) => key)).toEqual(SEVEN_KEYS);
    expect(answer.body).toMatchObject({ id, total: 1, progress: 0, status: 'working', results: [] });
  });

  test('answers at every way to write its path', async () => {
    const { url } = (await get(statusOf(id))).body;
    const forms = [id, id.toUpperCase(), asUuid(id), asUuid(id).toUpperCase()];
    for (const form of forms)
      for (const end of ['', '.json', '/', '?x=1', '.json?x=1&y', '.json?'])
        expect([form, end, (await get(`/api/v2/job_statuses/${form}${end}`)).body.url]).toEqual([
          form,
          end,
          url,
        ]);
    expect((await get(url)).body.url).toBe(url);
  });
});

describe('the full resource', () => {
  test('says all there is to know, and keeps the results to themselves', async () => {
    const answer = await get(fullOf(id));
    expect(answer.status).toBe(200);
    const keys = Object.keys(answer.body);
    expect(keys.slice(0, 6)).toEqual(SEVEN_KEYS.slice(0, 6));
    expect(keys).not.toContain('results');
    expect(answer.body).toMatchObject({
      id,
      url: `${served.app.origin}${statusOf(id)}`,
      type: 'demo.sleep',
      name: null,
      metadata: null,
      priority: 0,
      counts: { succeeded: 0, failed: 0, retrying: 0, running: 0, pending: 1 },
      paused: false,
      created_by: user.email,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      started_at: null,
      finished_at: null,
      expires_at: null,
      retry_of: null,
      retried_by: null,
      eta_seconds: null,
    });
  });

  test('is what the list of jobs has an entry of', async () => {
    const { body } = await get(JOBS);
    expect(body.jobs.find((job: { id: string }) => job.id === id)).toEqual((await get(fullOf(id))).body);
  });

  test('has an estimate also where one result took very long', async () => {
    const slow = await submitted(served);
    await served.app.prisma.jobStatus.updateMany({
      where: { id: asUuid(slow) },
      data: { total: 1_000_000, progress: 1, startedAt: new Date(Date.now() - 86_400_000), version: 2 },
    });
    const { status, body } = await get(fullOf(slow));
    expect([status, body.eta_seconds]).toEqual([200, 2_147_483_647]);
    expect((await get(JOBS)).status).toBe(200);
    await served.app.prisma.jobStatus.delete({ where: { id: asUuid(slow) } });
  });
});

describe('who may read a job', () => {
  test('is any user of its account', async () => {
    expect((await get(statusOf(id), colleague)).body.id).toBe(id);
    expect((await get(fullOf(id), colleague)).body.created_by).toBe(user.email);
    expect(idsOf(await get(STATUSES, colleague))).toContain(id);
    expect(idsOf(await get(`${SHOW_MANY}?ids=${id}`, colleague))).toEqual([id]);
  });

  test("is nobody of another account, to whom it looks like a job that isn't there", async () => {
    for (const path of [statusOf, fullOf]) {
      const theirs = await get(path(id), stranger);
      expectError(theirs, 404, 'RecordNotFound');
      expect(theirs.text).toBe((await get(path(NO_JOB), stranger)).text);
    }
    expect(idsOf(await get(STATUSES, stranger))).toEqual([]);
    expect((await get(JOBS, stranger)).body.jobs).toEqual([]);
    expect(idsOf(await get(`${SHOW_MANY}?ids=${id}`, stranger))).toEqual([]);
    const cursor = Buffer.from(asUuid(id)).toString('base64url');
    expect(idsOf(await get(`${STATUSES}?page[before]=${cursor}`, stranger))).toEqual([]);
  });
});

describe('show_many', () => {
  let three: string[];
  beforeAll(async () => {
    three = [await submitted(served), await submitted(served), await submitted(served)];
  });

  test('keeps the order that was asked for, each as often as it was asked', async () => {
    const [a, b, c] = three;
    for (const ids of [
      [b, a, c],
      [c, b, a],
      [a, c, a],
    ])
      expect(idsOf(await get(`${SHOW_MANY}?ids=${ids.join(',')}`))).toEqual(ids);
  });

  test('leaves out what is not there', async () => {
    const [a, b] = three;
    const theirs = (await served.app.post(JOBS, stranger, sleepJob())).body.id as string;
    expect(idsOf(await get(`${SHOW_MANY}?ids=${NO_JOB},${b},x,${theirs},,${a}`))).toEqual([b, a]);
    expect((await get(`${SHOW_MANY}?ids=x`)).body).toEqual({ job_statuses: [] });
  });

  test('gives each entry as the single one', async () => {
    const ids = [asUuid(three[0]!), three[1]!.toUpperCase(), ` ${three[2]}`].map(encodeURIComponent);
    const { text } = await get(`/api/v2/job_statuses/show_many?ids=${ids.join('%2C')}`);
    const singles = await Promise.all(three.map(async (one) => (await get(statusOf(one))).text));
    expect(text).toBe(`{"job_statuses":[${singles.join(',')}]}`);
  });

  test('takes a hundred ids, and no more', async () => {
    expect(
      (await get(`${SHOW_MANY}?ids=${Array(100).fill(three[0]).join(',')}`)).body.job_statuses,
    ).toHaveLength(100);
    const answer = await get(`${SHOW_MANY}?ids=${Array(101).fill(three[0]).join(',')}`);
    expectError(answer, 400, 'TooManyValues');
    expect(answer.body.max_count).toBe(100);
  });

  test('is refused when all results together are more than an answer should hold', async () => {
    const [large, small] = [await bigJob(served, 650, { padding: 60_000 }), await bigJob(served, 10)];
    const many = (...ids: string[]) => get(`${SHOW_MANY}?ids=${ids.join(',')}`);
    expect((await many(large)).body.job_statuses[0].results).toHaveLength(650);
    expect((await many(small, large)).status).toBe(200);
    const refused = await many(small, large, large, small);
    expectError(refused, 400, 'TooManyValues');
    expect(refused.body.max_count).toBe(2);
  });

  test.each(['', '?ids=', '?ids', '?ids=a&ids=b', '?ids=%00'])('refuses %j', async (query) => {
    expectInvalid(await get(SHOW_MANY + query), 'ids');
  });

  test('refuses a parameter that it does not know', async () => {
    expectInvalid(await get(`${SHOW_MANY}?ids=${NO_JOB}&id=1`), 'id');
  });
});
