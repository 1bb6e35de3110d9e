import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import zendesk from 'node-zendesk';
import { TestApp, PASSWORD, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

/**
 * The published client, as it is, against a listening service that wraps single statuses (ENVELOPE=job_status). What its
 * types call `object` is what the contract says it is.
 */

interface Status {
  readonly id: string;
  readonly url: string;
  readonly total: number;
  readonly progress: number;
  readonly status: string;
  readonly message: string | null;
  readonly results: readonly { readonly id: number; readonly success: boolean; readonly status: string }[];
}

let database: TestDatabase;
let app: TestApp;
let user: TestUser;
beforeAll(async () => {
  database = await createTestDatabase();
  const env = { ENVELOPE: 'job_status', MAX_WORKING_JOBS: '2', DRAIN_SECONDS: '0' };
  app = await TestApp.start(database.url, { env });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});
/** An account of its own for each test: its jobs and tickets are all that it sees. */
let accounts = 0;
beforeEach(async () => {
  accounts += 1;
  user = await app.addUser(`agent${accounts}@example.com`, `account${accounts}`);
});

const client = (options: Partial<zendesk.ZendeskClientOptions> = {}) =>
  zendesk.createClient({
    username: user.email,
    password: PASSWORD,
    endpointUri: `${app.origin}/api/v2`,
    throwOriginalException: true,
    ...options,
  });

/** What a call came to, as the client hands it out. */
const result = async <T>(call: Promise<unknown>): Promise<T> => ((await call) as { result: T }).result;

const wrapped = (call: Promise<unknown>): Promise<Status> =>
  result<{ job_status: Status }>(call).then((body) => body.job_status);

/** Every 20 ms, until it has ended. */
const watched = (id: string) => client().jobstatuses.watch(id, 20, 3) as Promise<Status>;

const someTickets = (count: number) => ({
  tickets: Array.from({ length: count }, (_, n) => ({
    subject: `Ticket ${n}`,
    comment: { body: 'It is broken' },
  })),
});

/** Its types want members of a ticket that nobody sends. */
const createMany = (body: { tickets: object[] }, by = client()) => by.tickets.createMany(body as never);

const listed = () => client().tickets.list() as Promise<{ id: number }[]>;

async function madeTickets(count: number): Promise<number[]> {
  const { id } = await wrapped(createMany(someTickets(count)));
  return (await watched(id)).results.map((one) => one.id);
}

describe('node-zendesk works unmodified', () => {
  test('tickets.createMany answers with the job, and jobstatuses.watch follows it to its end', async () => {
    const made = await wrapped(createMany(someTickets(25)));
    expect(made).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{32}$/), total: 25 });
    const ended = await watched(made.id);
    expect(ended).toMatchObject({ id: made.id, status: 'completed', progress: 25 });
    expect(ended.results).toHaveLength(25);
    expect(ended.results[7]).toMatchObject({
      action: 'create',
      success: true,
      status: 'Created',
      title: 'Ticket 7',
    });
  });

  test('tickets.updateMany with ids changes each of them', async () => {
    const ids = await madeTickets(3);
    const { id } = await wrapped(client().tickets.updateMany(ids, { ticket: { status: 'solved' } }));
    const ended = await watched(id);
    expect(ended.results.map((one) => [one.id, one.success, one.status])).toEqual(
      ids.map((ticket) => [ticket, true, 'Updated']),
    );
    expect(await result<{ status: string }>(client().tickets.show(ids[1]!))).toMatchObject({
      status: 'solved',
    });
  });

  test('tickets.deleteMany removes them', async () => {
    const ids = await madeTickets(3);
    const { id } = await wrapped(client().tickets.deleteMany(ids.slice(0, 2)));
    expect((await watched(id)).results.map((one) => one.status)).toEqual(['Deleted', 'Deleted']);
    const left = await listed();
    expect(left.map((ticket) => ticket.id)).toEqual(ids.slice(2));
  });

  test('tickets.list follows the links from page to page', async () => {
    await madeTickets(230);
    expect(new Set((await listed()).map((ticket) => ticket.id)).size).toBe(230);
  });

  test('jobstatuses.show, showMany and list', async () => {
    const first = await wrapped(createMany(someTickets(2)));
    await watched(first.id);
    const second = await wrapped(createMany(someTickets(3)));
    await watched(second.id);
    expect(await wrapped(client().jobstatuses.show(first.id))).toMatchObject({ id: first.id, progress: 2 });
    const many = await result<{ job_statuses: Status[] }>(
      client().jobstatuses.showMany([second.id, first.id]),
    );
    expect(many.job_statuses.map((job) => [job.id, job.results.length])).toEqual([
      [second.id, 3],
      [first.id, 2],
    ]);
    const list = await result<{ job_statuses: Status[] }>(client().jobstatuses.list());
    expect(list.job_statuses.map((job) => job.id)).toEqual([second.id, first.id]);
  });

  test('a job that is not there is its 404', async () => {
    const unknown = client().jobstatuses.show('0'.repeat(32));
    await expect(unknown).rejects.toMatchObject({ statusCode: 404, result: { error: 'RecordNotFound' } });
    const plain = client({ throwOriginalException: false }).jobstatuses.show('0'.repeat(32));
    await expect(plain).rejects.toThrow('Item not found');
    await expect(client().jobstatuses.watch('0'.repeat(32), 5, 2)).rejects.toMatchObject({ statusCode: 404 });
  });

  test('a refused ticket is its 422, with the details in the result', async () => {
    const refused = createMany({ tickets: [{ subject: 'fine' }, { subject: '' }] });
    await expect(refused).rejects.toMatchObject({
      statusCode: 422,
      result: { error: 'RecordInvalid', details: { 'tickets.1.subject': [{ position: 1 }] } },
    });
  });

  test('too many working jobs are its 429', async () => {
    const job = { type: 'demo.sleep', tasks: [{ ms: 60_000 }] };
    await app.post('/api/v2/jobs.json', user, job);
    await app.post('/api/v2/jobs.json', user, job);
    // It makes a result of an answer with Retry-After, rather than to throw.
    const refused = await result<Error & { statusCode: number; result: unknown }>(createMany(someTickets(1)));
    expect(refused).toMatchObject({ statusCode: 429, result: { error: 'TooManyJobs' } });
    expect((refused.result as { current_job_ids: string[] }).current_job_ids).toHaveLength(2);
  });

  test('with an API token instead of a password', async () => {
    const token = await app.addToken(user);
    const byToken = client({ token });
    expect(await result(byToken.jobstatuses.list())).toMatchObject({ job_statuses: [] });
    const byBearer = client({ token, useOAuth: true });
    expect(await result(byBearer.jobstatuses.list())).toMatchObject({ job_statuses: [] });
    await expect(client({ password: 'wrong' }).jobstatuses.list()).rejects.toMatchObject({ statusCode: 401 });
  });
});

test('without the envelope the client finds no job in the answer: what ENVELOPE is for', async () => {
  const bare = await TestApp.start(database.url);
  const call = createMany(someTickets(1), client({ endpointUri: `${bare.origin}/api/v2` }));
  const body = await result<Record<string, unknown>>(call);
  expect(Object.keys(body)).toEqual(['id', 'url', 'total', 'progress', 'status', 'message', 'results']);
  await bare.stop();
});
