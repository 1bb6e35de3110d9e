import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { JobEventsService } from '../../src/jobs/job-events.service.js';
import { JobWatcher } from '../../src/jobs/job-watcher.js';
import type { TestUser } from '../support/app.js';
import { EventStream } from '../support/event-stream.js';
import { waitFor } from '../support/wait-for.js';
import {
  authorizationOf,
  expectError,
  expectInvalid,
  JOBS,
  serve,
  SEVEN_KEYS,
  sleepJob,
  submitted,
  type Served,
} from '../http/http-support.js';
import { bigJob } from './results-support.js';

let served: Served;
let user: TestUser;
beforeAll(async () => {
  served = await serve();
  ({ user } = served);
});
afterAll(() => served.stop());

const act = (id: string, what: string) => served.app.post(`/api/v2/jobs/${id}/${what}.json`, user, undefined);
const statusOf = async (id: string) => (await served.app.get(`/api/v2/job_statuses/${id}.json`, user)).body;

interface Event {
  readonly event: string;
  readonly id: string;
  readonly data: { status: string; progress: number; results: unknown[]; id: string };
  readonly at: number;
}

/** A client of server-sent events. */
class Events extends EventStream {
  readonly events: Event[] = [];
  comments = 0;
  text = '';

  constructor(id: string, headers: Record<string, string> = {}, app = served.app, as = user) {
    super(
      `${app.origin}/api/v2/jobs/${id}/events`,
      { authorization: authorizationOf(as), ...headers },
      (part) => this.#read(part),
    );
  }

  #read(part: string): void {
    this.text += part;
    const blocks = this.text.split('\n\n').slice(0, -1);
    this.comments = blocks.filter((block) => block.startsWith(':')).length;
    const seen = blocks.filter((block) => block.startsWith('event:'));
    for (const block of seen.slice(this.events.length)) {
      const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s, 2)));
      this.events.push({ ...fields, data: JSON.parse(fields.data), at: performance.now() } as Event);
    }
  }

  /** Until the server closes the stream. */
  async end(): Promise<Event[]> {
    await this.over();
    return this.events;
  }

  has(count: number): Promise<unknown> {
    return waitFor(() => this.events.length >= count, { what: `${count} events` });
  }
}

describe('the events of a job', () => {
  test('are its state, each change of it and its end, and then are over', async () => {
    const id = await submitted(served);
    const stream = new Events(id);
    await stream.has(1);
    expect(stream.headers.get('content-type')).toBe('text/event-stream');
    expect(stream.headers.get('cache-control')).toBe('no-cache, no-transform');
    expect(stream.headers.get('x-accel-buffering')).toBe('no');
    expect(stream.text).toMatch(/^retry: \d+\n\nevent: status\nid: 1\ndata: \{.*\}\n\n$/);
    expect(Object.keys(stream.events[0]!.data)).toEqual(SEVEN_KEYS);
    await act(id, 'pause');
    await stream.has(2);
    await act(id, 'kill');
    const events = await stream.end();
    expect(events.map(({ event, id: version, data }) => [event, version, data.status])).toEqual([
      ['status', '1', 'working'],
      ['status', '2', 'working'],
      ['status', '3', 'killed'],
    ]);
    expect(events.at(-1)!.data).toEqual(await statusOf(id));
  });

  test('come at most four a second, and the last one always', async () => {
    const own = await serve({ role: 'all', env: { WORKER_CONCURRENCY: '1' } });
    const { body } = await own.app.post(JOBS, own.user, {
      type: 'demo.sleep',
      tasks: Array.from({ length: 20 }, () => ({ ms: 100 })),
    });
    const events = await new Events(body.id, {}, own.app, own.user).end();
    await own.stop();
    expect(events.at(-1)!.data).toMatchObject({ status: 'completed', progress: 20, results: [] });
    expect(events.length).toBeGreaterThan(2);
    const versions = events.map((event) => Number(event.id));
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
    for (const [n, event] of events.slice(4).entries()) expect(event.at - events[n]!.at).toBeGreaterThan(900);
  });

  test('go on from the last one that the client has seen', async () => {
    const id = await submitted(served);
    const stream = new Events(id, { 'last-event-id': '1' });
    await waitFor(() => stream.text.startsWith('retry:'));
    await act(id, 'pause');
    await stream.has(1);
    await stream.close();
    expect(stream.events.map((event) => event.id)).toEqual(['2']);
    const missed = new Events(id, { 'last-event-id': '1' });
    await missed.has(1);
    expect(missed.events[0]!.id).toBe('2');
    await missed.close();
  });

  test('of an ended job are its last one, and nothing for who has seen that', async () => {
    const id = await bigJob(served, 3);
    const { version } = await served.app.prisma.jobStatus.findFirstOrThrow({ orderBy: { id: 'desc' } });
    for (const headers of [{}, { 'last-event-id': '0' }] as Record<string, string>[]) {
      const events = await new Events(id, headers).end();
      expect(events.map((event) => [event.id, event.data.status])).toEqual([[String(version), 'completed']]);
    }
    const nothing = new Events(id, { 'last-event-id': String(version) });
    await nothing.end();
    expect([nothing.status, nothing.text]).toEqual([204, '']);
  });

  test('of another account, or of no job, are 404', async () => {
    const stranger = await served.app.addUser('stranger@example.com', 'other');
    const id = await submitted(served);
    expectError(await served.app.get(`/api/v2/jobs/${id}/events`, stranger), 404, 'RecordNotFound');
    expectError(await served.app.get('/api/v2/jobs/x/events', user), 404, 'RecordNotFound');
    expectInvalid(await served.app.get(`/api/v2/jobs/${id}/events?x=1`, user), 'x');
  });

  /** A stream as the controller opens it, that need not be waited for. */
  const opened = (id: string, isAllowed: () => Promise<boolean>, signal: AbortSignal) => {
    const caller = { ...user, account: 'main', role: 'agent' as const, tokenId: null };
    return served.app.app.get(JobEventsService).open(caller, id, {
      form: { origin: '', envelope: 'none' },
      lastEventId: '1',
      signal,
      isAllowed,
      heartbeatMs: 120,
      checkMs: 0,
    });
  };

  test('end when their reader may not see them any more', async () => {
    const id = await submitted(served);
    let isAllowed = true;
    const stream = await opened(id, () => Promise.resolve(isAllowed), new AbortController().signal);
    let parts = 0;
    for await (const part of stream!) {
      parts += 1;
      if (!isAllowed) throw new Error(`nothing was expected, got: ${String(part)}`);
      // The first one tells when to come back; the others are heartbeats.
      isAllowed = parts < 3;
    }
    expect(parts).toBe(3);
  });

  test('have a heartbeat while nothing changes', async () => {
    const id = await submitted(served);
    const gone = new AbortController();
    const stream = await opened(id, () => Promise.resolve(true), gone.signal);
    let beats = 0;
    for await (const part of stream!) {
      if (String(part) === ':\n\n') beats += 1;
      if (beats === 3) break;
    }
    gone.abort();
    expect(beats).toBe(3);
  });

  test('are no longer watched for when the client has gone', async () => {
    const watcher = served.app.app.get(JobWatcher);
    const stream = new Events(await submitted(served));
    await waitFor(() => watcher.watches === 1);
    await stream.close();
    await waitFor(() => watcher.watches === 0);
  });

  test('are over when the server stops', async () => {
    const own = await serve();
    const id = (await own.app.post(JOBS, own.user, sleepJob())).body.id as string;
    const stream = new Events(id, {}, own.app, own.user);
    await stream.has(1);
    const began = performance.now();
    await own.stop();
    await stream.end();
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(stream.events).toHaveLength(1);
  });

  test('are watched for by one statement, however many listen', async () => {
    const id = await submitted(served);
    const streams = Array.from({ length: 50 }, () => new Events(id));
    await waitFor(() => streams.every((stream) => stream.events.length === 1));
    await act(id, 'kill');
    for (const stream of streams)
      expect((await stream.end()).map((event) => event.data.status)).toEqual(['working', 'killed']);
  });
});
