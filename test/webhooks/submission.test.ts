import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  expectInvalid,
  JOBS,
  rowsLeft,
  serve,
  sleepJob,
  submitted,
  type Served,
} from '../http/http-support.js';
import { CALLBACKS } from './receiver.js';

const RECEIVER = 'https://example.com/ended?by=tally';
const PENDING = { state: 'pending', attempts: 0, last_error: null };

let served: Served;
beforeAll(async () => {
  served = await serve({ env: CALLBACKS });
});
afterAll(() => served.stop());
beforeEach(async () => {
  await served.app.prisma.taskChunk.deleteMany();
  await served.app.prisma.jobStatus.deleteMany();
});

const jobOf = async (id: string) => (await served.app.get(`/api/v2/jobs/${id}`, served.user)).body;

const upload = (query: string) =>
  served.app.post(`${JOBS}?type=demo.sleep&${query}`, served.user, '{"ms":1}\n{"ms":1}\n', {
    'content-type': 'application/x-ndjson',
  });

describe('a job with a callback_url', () => {
  test('shows it in the full resource, and how far the callback has come', async () => {
    const id = await submitted(served, { callback_url: RECEIVER });
    expect(await jobOf(id)).toMatchObject({ callback_url: RECEIVER, callback: PENDING });
    const { body } = await served.app.get(JOBS, served.user);
    expect(body.jobs).toEqual([expect.objectContaining({ callback_url: RECEIVER, callback: PENDING })]);
  });

  test('may have been streamed: it is a query parameter then', async () => {
    const answer = await upload(`callback_url=${encodeURIComponent(RECEIVER)}`);
    expect(answer.status).toBe(202);
    expect(await jobOf(answer.body.id)).toMatchObject({ callback_url: RECEIVER, callback: PENDING });
  });

  test('passes it on to the job that retries it', async () => {
    const id = await submitted(served, { callback_url: RECEIVER });
    await served.app.post(`/api/v2/jobs/${id}/kill`, served.user, undefined);
    const retry = await served.app.post(`/api/v2/jobs/${id}/retry`, served.user, undefined);
    expect(retry.status).toBe(202);
    expect(retry.body).toMatchObject({ callback_url: RECEIVER, callback: PENDING });
    expect(await served.app.prisma.jobCallback.findMany({ select: { origin: true } })).toEqual([
      { origin: served.app.origin },
      { origin: served.app.origin },
    ]);
  });

  test('takes it along when it is deleted', async () => {
    const id = await submitted(served, { callback_url: RECEIVER });
    await served.app.post(`/api/v2/jobs/${id}/kill`, served.user, undefined);
    expect((await served.app.call('DELETE', `/api/v2/jobs/${id}`, served.user)).status).toBe(204);
    expect(await served.app.prisma.jobCallback.count()).toBe(0);
  });
});

test.each([[undefined], [null]])('a job whose callback_url is %s has none', async (callback_url) => {
  const id = await submitted(served, { callback_url });
  expect(await jobOf(id)).toMatchObject({ callback_url: null, callback: null });
  expect(await served.app.prisma.jobCallback.count()).toBe(0);
});

describe('a callback_url is taken', () => {
  test.each([
    'http://example.com',
    'HTTPS://EXAMPLE.COM/',
    'https://example.com:8443/a%20b/?c=d&e=@#'.slice(0, -1),
    'https://bücher.example/ü',
  ])('%s', async (callback_url) => {
    const id = await submitted(served, { callback_url });
    expect(await jobOf(id)).toMatchObject({ callback_url });
  });
});

describe('a callback_url is refused with what was expected', () => {
  const http = 'expected a URL that begins with http:// or https://';

  test.each([
    ['', http],
    ['example.com/ended', http],
    ['/ended', http],
    ['ftp://example.com/', http],
    ['javascript:alert(1)', http],
    ['http:example.com', http],
    ['http:\\\\example.com', http],
    ['https://', http],
    ['https://exa mple.com/', http],
    [' https://example.com/', http],
    ['https://example.com/\n', http],
    ['https://example.com/\u007f', http],
    ['https://example.com:99999/', http],
    ['https://example.com/#', 'expected a URL without a fragment'],
    ['https://example.com/#ended', 'expected a URL without a fragment'],
    ['https://ann@example.com/', 'expected a URL without credentials'],
    ['https://ann:secret@example.com/', 'expected a URL without credentials'],
    ['https://:secret@example.com/', 'expected a URL without credentials'],
    [7, 'expected a URL'],
    [[RECEIVER], 'expected a URL'],
  ])('%j', async (callback_url, expected) => {
    const answer = await served.app.post(JOBS, served.user, sleepJob(1, { callback_url }));
    expect(expectInvalid(answer, 'callback_url')['callback_url']![0]!.description).toBe(expected);
    expect(await rowsLeft(served.app)).toBe(0);
  });

  test('when it has more than 2,000 characters', async () => {
    const long = `https://example.com/${'x'.repeat(1_980)}`;
    expect(await jobOf(await submitted(served, { callback_url: long }))).toMatchObject({
      callback_url: long,
    });
    const answer = await served.app.post(JOBS, served.user, sleepJob(1, { callback_url: `${long}x` }));
    const [complaint] = expectInvalid(answer, 'callback_url')['callback_url']!;
    expect(complaint!.description).toBe('expected at most 2000 characters');
  });

  test('also in a query', async () => {
    expectInvalid(await upload('callback_url=ftp%3A%2F%2Fexample.com'), 'callback_url');
    expectInvalid(await upload(`callback_url=${RECEIVER}&callback_url=${RECEIVER}`), 'callback_url');
    expect(await rowsLeft(served.app)).toBe(0);
  });
});

test('without CALLBACK_SECRET no job may have a callback, and the answer says why', async () => {
  const unsigned = await serve();
  try {
    const answer = await unsigned.app.post(JOBS, unsigned.user, sleepJob(1, { callback_url: RECEIVER }));
    const [complaint] = expectInvalid(answer, 'callback_url')['callback_url']!;
    expect(complaint!.description).toBe('cannot be used here: callbacks need CALLBACK_SECRET to be set');
    expect(await rowsLeft(unsigned.app)).toBe(0);
  } finally {
    await unsigned.stop();
  }
});
