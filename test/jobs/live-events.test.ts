import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { LiveEventsService } from '../../src/jobs/live-events.service.js';
import { LiveJobs } from '../../src/jobs/live-jobs.js';
import { signedIn } from '../auth/session-support.js';
import { expectError, expectInvalid, JOBS, serve, submitted, type Served } from '../http/http-support.js';
import type { TestUser } from '../support/app.js';
import { waitFor } from '../support/wait-for.js';
import { LivePage } from './live-support.js';

const ENV = { MAX_WORKING_JOBS: '2000', DRAIN_SECONDS: '0' };

let served: Served;
let user: TestUser;
let pages: LivePage[] = [];
beforeAll(async () => {
  served = await serve({ env: ENV });
  ({ user } = served);
});
afterEach(async () => {
  await Promise.all(pages.map((page) => page.close()));
  pages = [];
});
afterAll(() => served.stop());

function open(by: TestUser | Record<string, string> = user, { app } = served): LivePage {
  const page = new LivePage(app, by);
  pages.push(page);
  return page;
}

const act = (id: string, what: string) => served.app.post(`/api/v2/jobs/${id}/${what}.json`, user, undefined);
const live = () => served.app.app.get(LiveJobs);

describe('the events of all jobs', () => {
  test('begin with every working job, as the list has it, and go on with those that change', async () => {
    const [one, two] = [await submitted(served), await submitted(served)];
    const page = await open().ready();
    expect(page.headers.get('content-type')).toBe('text/event-stream');
    expect(page.headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(page.headers.get('x-accel-buffering')).toBe('no');
    const [first] = page.of('jobs');
    expect(first!.data.snapshot).toBe(true);
    const listed = await served.app.get(`${JOBS}?filter[status]=working`, user);
    const sorted = (jobs: { id: string }[]) => [...jobs].sort((a, b) => (a.id < b.id ? -1 : 1));
    expect(sorted(first!.data.jobs!)).toEqual(sorted(listed.body.jobs));

    await act(one, 'kill');
    await page.shows(one, { status: 'killed' });
    const later = page.of('jobs').slice(1);
    expect(later.flatMap(({ data }) => data.jobs!.map(({ id }) => id))).toEqual([one]);
    expect(later.every(({ data }) => data.snapshot === undefined)).toBe(true);
    expect(page.jobs.get(two)!.status).toBe('working');
  });

  test('have jobs that are new, also those that begin and end between two looks', async () => {
    const page = await open().ready();
    const id = await submitted(served);
    await act(id, 'kill');
    await page.shows(id, { status: 'killed' });
  });

  test('name what was deleted', async () => {
    const id = await submitted(served);
    const page = await open().ready();
    await act(id, 'kill');
    await page.shows(id, { status: 'killed' });
    await waitFor(() => page.of('stats').length >= 2, { timeoutMs: 15_000 });
    expect((await served.app.call('DELETE', `/api/v2/jobs/${id}.json`, user)).status).toBe(204);
    await waitFor(() => !page.jobs.has(id), { timeoutMs: 15_000, what: 'the job to be gone' });
    expect(page.of('jobs').flatMap(({ data }) => data.removed ?? [])).toEqual([id]);
    const again = await open().ready();
    expect(again.jobs.has(id)).toBe(false);
  });

  test('after a cut connection begin with what ended meanwhile as well: nothing is lost', async () => {
    const id = await submitted(served);
    const before = await open().ready();
    await before.close();
    await act(id, 'kill');
    const page = await open().ready();
    expect(page.jobs.get(id)).toMatchObject({ status: 'killed' });
  });

  test('are those of the own account alone', async () => {
    const stranger = await served.app.addUser('bo@example.org', 'globex');
    const own = await submitted({ app: served.app, user: stranger });
    const page = await open(stranger).ready();
    const [mine, theirs] = [await open().ready(), await submitted(served)];
    await mine.shows(theirs, { status: 'working' });
    await act(theirs, 'kill');
    await mine.shows(theirs, { status: 'killed' });
    await served.app.post(`/api/v2/jobs/${own}/pause.json`, stranger, undefined);
    await waitFor(() => page.of('stats').length >= 2, { timeoutMs: 15_000 });
    expect([...page.jobs.keys()]).toEqual([own]);
    expect(page.stats).toMatchObject({ waiting: 1, working_jobs: 1 });
    expect(mine.jobs.has(own)).toBe(false);
  });

  test('are seen by cookie, Basic and Bearer, and by nobody without', async () => {
    const token = await served.app.addToken(user);
    const readers: (TestUser | Record<string, string>)[] = [
      { cookie: await signedIn(served.app, user) },
      user,
      { authorization: `Bearer ${token}` },
    ];
    for (const by of readers) {
      const page = await open(by).ready();
      expect(page.status).toBe(200);
    }
    expectError(await served.app.get('/api/v2/jobs/events', null), 401, 'Unauthorized');
    expectInvalid(await served.app.get('/api/v2/jobs/events?x=1', user), 'x');
  });

  test('end when their reader may not see them any more', async () => {
    const leaver = await served.app.addUser('leaver@example.com');
    let isAllowed = true;
    const gone = new AbortController();
    const stream = served.app.app.get(LiveEventsService).open({
      accountId: leaver.accountId,
      origin: served.app.origin,
      signal: gone.signal,
      isAllowed: () => Promise.resolve(isAllowed),
      checkMs: 0,
    });
    let text = '';
    stream.on('data', (part) => (text += String(part)));
    await waitFor(() => text.includes('event: stats'), { timeoutMs: 15_000 });
    isAllowed = false;
    await new Promise((resolve) => stream.once('end', resolve));
  });

  test('cost one look, however many pages there are, and none when they have gone', async () => {
    const one = await open().ready();
    const many = await Promise.all(Array.from({ length: 20 }, () => open().ready()));
    const { looks } = live();
    const began = one.of('stats').length;
    await waitFor(() => one.of('stats').length >= began + 2, { timeoutMs: 15_000 });
    const seconds = (one.events.at(-1)!.at - many[0]!.events[0]!.at) / 1_000;
    // Four a second, and those of the rounding.
    expect(live().looks - looks).toBeLessThanOrEqual(4 * seconds + 4);
    expect(live().accounts).toBeLessThanOrEqual(3);
  });
});

describe('while tasks run', () => {
  let running: Served;
  beforeAll(async () => {
    running = await serve({ role: 'all', env: { ...ENV, WORKER_CONCURRENCY: '2' } });
  });
  afterAll(() => running.stop());

  test('events come at most four a second, the last state always, and the numbers never run back', async () => {
    const page = await open(running.user, running).ready();
    const { body } = await running.app.post(JOBS, running.user, {
      type: 'demo.sleep',
      tasks: Array.from({ length: 40 }, () => ({ ms: 100 })),
    });
    await page.shows(body.id, { status: 'completed', progress: 40 });
    await waitFor(() => page.stats!.processed === 40 && page.stats!.working_jobs === 0, {
      timeoutMs: 15_000,
      what: 'the numbers of the end',
    });
    const jobs = page.of('jobs');
    expect(jobs.length).toBeGreaterThan(3);
    for (const [n, event] of jobs.slice(4).entries()) expect(event.at - jobs[n]!.at).toBeGreaterThan(900);
    const stats = page.of('stats').map(({ data }) => data);
    const processed = stats.map((one) => one.processed!);
    expect(processed).toEqual([...processed].sort((a, b) => a - b));
    expect(stats.some((one) => one.running! > 0 && one.waiting! > 0 && one.working_jobs === 1)).toBe(true);
    for (const one of stats) expect(one.waiting! + one.running!).toBeLessThanOrEqual(40);
    expect(page.stats).toMatchObject({ waiting: 0, running: 0, failed: 0 });

    const again = await open(running.user, running).ready();
    await waitFor(() => again.stats, { timeoutMs: 15_000 });
    expect(again.stats!.processed).toBeGreaterThanOrEqual(40);
  });

  test('a job that has only begun shows that it runs, though no task of it has ended', async () => {
    const page = await open(running.user, running).ready();
    const { body } = await running.app.post(JOBS, running.user, {
      type: 'demo.sleep',
      tasks: [{ ms: 60_000 }, { ms: 60_000 }],
    });
    await waitFor(() => page.jobs.get(body.id as string)?.counts.running === 2, { timeoutMs: 15_000 });
    await running.app.post(`/api/v2/jobs/${body.id}/kill.json`, running.user, undefined);
    await page.shows(body.id, { status: 'killed' });
  });

  test('failed tasks are counted apart', async () => {
    const page = await open(running.user, running).ready();
    await waitFor(() => page.stats, { timeoutMs: 15_000 });
    const before = page.stats!;
    await running.app.post(JOBS, running.user, {
      type: 'demo.fail',
      max_attempts: 1,
      tasks: [{ times: 9, message: 'no' }, { times: 0 }],
    });
    await waitFor(() => page.stats!.processed === before.processed + 2, { timeoutMs: 15_000 });
    expect(page.stats!.failed).toBe(before.failed + 1);
  });
});

test('the stop of the server ends the events at once', async () => {
  const own = await serve();
  const page = await open(own.user, own).ready();
  await own.stop();
  await page.end();
});
