import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Server } from 'node:http';
import pg from 'pg';
import type { TestUser } from '../support/app.js';
import { sessionsWait } from '../support/locks.js';
import { countStatements } from '../support/statements.js';
import { waitFor } from '../support/wait-for.js';
import {
  expectError,
  raw,
  rawGet,
  serve,
  sleepJob,
  JOBS,
  submitted,
  type Served,
} from '../http/http-support.js';
import { parseJobId } from '../../src/jobs/job.js';
import { bigJob, jobWith } from './results-support.js';

let served: Served;
let user: TestUser;
beforeAll(async () => {
  served = await serve();
  ({ user } = served);
});
afterAll(() => served.stop());

const get = (path: string, headers: Record<string, string> = {}, as = user) =>
  served.app.get(path, as, headers);
const statusOf = (id: string) => `/api/v2/job_statuses/${id}.json`;
const fullOf = (id: string) => `/api/v2/jobs/${id}.json`;
const act = (id: string, what: string) => served.app.post(`/api/v2/jobs/${id}/${what}.json`, user, undefined);
const tagOf = async (path: string) => (await get(path)).headers.get('etag')!;
/** Statements that read results. */
const RESULTS = /FROM job_results/;

describe.each([
  ['a polled status', statusOf],
  ['the full resource', fullOf],
])('%s', (_, pathOf) => {
  test('has a strong tag, with which it is 304 without a body', async () => {
    const path = pathOf(await submitted(served));
    const answer = await get(path);
    const tag = answer.headers.get('etag')!;
    expect(tag).toMatch(/^"1-[\w-]{16}"$/);
    expect(answer.headers.get('cache-control')).toBe('private, no-cache');
    for (const header of [tag, `W/${tag}`, `"x", ${tag}`, '*']) {
      const again = await get(path, { 'if-none-match': header });
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', tag]);
      expect(again.headers.get('content-type')).toBeNull();
    }
    expect((await get(path, { 'if-none-match': '"x"' })).text).toBe(answer.text);
    expect((await served.app.call('HEAD', path, user, undefined, { 'if-none-match': tag })).status).toBe(304);
  });

  test('has another tag after each change', async () => {
    const id = await submitted(served);
    const tags = [await tagOf(pathOf(id))];
    for (const what of ['pause', 'resume', 'kill']) {
      await act(id, what);
      expect((await get(pathOf(id), { 'if-none-match': tags.join(', ') })).status).toBe(200);
      tags.push(await tagOf(pathOf(id)));
    }
    expect(new Set(tags).size).toBe(4);
    await act(id, 'kill');
    expect((await get(pathOf(id), { 'if-none-match': tags.at(-1)! })).status).toBe(304);
  });

  test('has another tag where it is reached by another name', async () => {
    const id = await submitted(served);
    const ask = async (host: string, tag = '"x"') =>
      raw(served.app.origin, rawGet(pathOf(id), user, [`Host: ${host}`, `If-None-Match: ${tag}`]));
    const one = await ask('one.example');
    const tag = /^etag: (.+)$/im.exec(one.head)![1]!;
    expect((await ask('one.example', tag)).status).toBe(304);
    const two = await ask('two.example', tag);
    expect([two.status, JSON.parse(two.body).url]).toEqual([200, `http://two.example${statusOf(id)}`]);
  });

  test('has another tag when what it says without a change of the job is another', async () => {
    const id = await submitted(served);
    const waiting = await get(pathOf(id));
    expect(waiting.body.message).toMatch(/no worker/);
    await served.app.prisma.worker.create({ data: { name: 'w', types: ['demo.sleep'], concurrency: 1 } });
    const { status, body } = await get(pathOf(id), { 'if-none-match': waiting.headers.get('etag')! });
    await served.app.prisma.worker.delete({ where: { name: 'w' } });
    expect([status, body.message]).toEqual([200, null]);
  });

  test('is 404 for another account, whatever it claims to have', async () => {
    const id = await submitted(served);
    const stranger = await served.app.addUser(`${pathOf.name.toLowerCase()}@example.com`, 'other');
    for (const header of ['*', await tagOf(pathOf(id))])
      expectError(await get(pathOf(id), { 'if-none-match': header }, stranger), 404, 'RecordNotFound');
  });
});

test('neither a 304 nor a poll of what has not changed costs a look at the results', async () => {
  const id = await jobWith(served, [{ index: 0, result: '1' }], { total: 9 });
  const tag = await tagOf(statusOf(id));
  const statements = countStatements(RESULTS);
  try {
    expect((await get(statusOf(id), { 'if-none-match': tag })).status).toBe(304);
    expect((await get(statusOf(id))).body.results).toEqual([1]);
    expect(statements.count).toBe(0);
    await act(id, 'pause');
    expect((await get(statusOf(id))).body.results).toEqual([1]);
    expect(statements.count).toBe(1);
  } finally {
    statements.stop();
  }
});

test('polls of many jobs at the same moment share one look at the table', async () => {
  const ids = await Promise.all(Array.from({ length: 10 }, () => submitted(served)));
  await Promise.all(ids.map((id) => get(statusOf(id))));
  const statements = countStatements(/FROM job_statuses/);
  let arrived = 0;
  const arrives = () => (arrived += 1);
  const server: Server = served.app.app.getHttpServer();
  server.on('request', arrives);
  const sql = new pg.Client({ connectionString: served.url });
  try {
    await sql.connect();
    await sql.query('BEGIN');
    await sql.query('LOCK TABLE job_statuses IN ACCESS EXCLUSIVE MODE');
    const asked = Promise.all([...ids, ...ids].map((id) => get(statusOf(id))));
    await waitFor(() => arrived === 20);
    await sessionsWait(sql);
    await sql.query('ROLLBACK');
    expect((await asked).map(({ body }) => body.id)).toEqual([...ids, ...ids]);
    // A request that arrives while the first look is under way waits for the next.
    expect(statements.count).toBeLessThan(ids.length);
  } finally {
    server.off('request', arrives);
    statements.stop();
    await sql.end();
  }
});

describe('an ended job', () => {
  test('is not remembered for those who may not see it, by another name, or when it is gone', async () => {
    const id = await bigJob(served, 5);
    await get(statusOf(id));
    const stranger = await served.app.addUser('curious@example.com', 'other');
    expectError(await get(statusOf(id), {}, stranger), 404, 'RecordNotFound');
    const named = await raw(served.app.origin, rawGet(statusOf(id), user, ['Host: three.example']));
    expect(JSON.parse(named.body).url).toBe(`http://three.example${statusOf(id)}`);
    await served.app.call('DELETE', fullOf(id), user);
    expectError(await get(statusOf(id)), 404, 'RecordNotFound');
  });

  test('is asked about once in a while, not at each poll', async () => {
    const id = await bigJob(served, 5);
    const { text } = await get(statusOf(id));
    const statements = countStatements(/FROM job_statuses/);
    try {
      const untilMs = performance.now() + 500;
      let polls = 0;
      for (; performance.now() < untilMs; polls += 1) expect((await get(statusOf(id))).text).toBe(text);
      expect(statements.count).toBeLessThanOrEqual(Math.min(polls, 7));
    } finally {
      statements.stop();
    }
  });

  test('is answered alike with a look at the database and without', async () => {
    const path = statusOf(await bigJob(served, 1_100));
    const told = ({ status, text, headers }: Awaited<ReturnType<typeof get>>) => {
      const same = [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name));
      expect(headers.get('x-request-id')).not.toBeNull();
      return { status, text, headers: same };
    };
    // A request with a preference, whichever it is, takes the long way.
    const long = { prefer: 'respond-async' };
    const looked = told(await get(path, long));
    expect(looked.status).toBe(200);
    expect(Object.fromEntries(looked.headers)['link']).toContain('rel="next"');
    expect(told(await get(path))).toEqual(looked);
    const known = { 'if-none-match': Object.fromEntries(looked.headers)['etag']! };
    const unchanged = told(await get(path, { ...known, ...long }));
    expect(unchanged.status).toBe(304);
    expect(told(await get(path, known))).toEqual(unchanged);
  });

  test('is gone a moment after another process has deleted it', async () => {
    const id = await bigJob(served, 5);
    await get(statusOf(id));
    await served.app.prisma.jobStatus.delete({ where: { id: parseJobId(id)! } });
    await waitFor(async () => (await get(statusOf(id))).status === 404, { timeoutMs: 5_000, everyMs: 10 });
  });

  test('that is deleted while its status is read is not given out afterwards', async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = await bigJob(served, 3);
      const flood = Array.from({ length: 20 }, () => get(statusOf(id)));
      const gone = served.app.call('DELETE', fullOf(id), user).then(() => get(statusOf(id)));
      expectError(await gone, 404, 'RecordNotFound');
      await Promise.all(flood);
    }
  });
});

test('a poll that comes after a kill sees it, whatever flood of polls was under way', async () => {
  for (let round = 0; round < 20; round += 1) {
    const id = await submitted(served);
    const flood = Array.from({ length: 40 }, () => get(statusOf(id)));
    const killing = act(id, 'kill');
    const seen = killing.then(() => Promise.all(Array.from({ length: 5 }, () => get(statusOf(id)))));
    expect((await seen).map(({ body }) => body.status)).toEqual(Array(5).fill('killed'));
    expect((await Promise.all(flood)).every(({ status }) => status === 200)).toBe(true);
  }
});

test('a poll while the job runs never shows a progress that its results do not bear out', async () => {
  const own = await serve({ role: 'all' });
  const { url } = (await own.app.post(JOBS, own.user, sleepJob(900))).body;
  await waitFor(
    async () => {
      const polls = await Promise.all(Array.from({ length: 10 }, () => own.app.get(url, own.user)));
      for (const { body } of polls) expect(body.results).toHaveLength(body.progress);
      return polls.every(({ body }) => body.status === 'completed');
    },
    { timeoutMs: 20_000, everyMs: 1 },
  );
  await own.stop();
});
