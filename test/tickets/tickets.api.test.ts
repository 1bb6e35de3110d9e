import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { TestApp, type Answer, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait-for.js';

const TICKETS = '/api/v2/tickets';

let database: TestDatabase;
let app: TestApp;
let agent: TestUser;
let stranger: TestUser;
beforeAll(async () => {
  database = await createTestDatabase();
  app = await TestApp.start(database.url, { env: { MAX_TASK_BYTES: '4096' } });
  agent = await app.addUser();
  stranger = await app.addUser('stranger@example.com', 'other');
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

interface Result {
  readonly id: number;
  readonly title: string | null;
  readonly status: string;
  readonly errors: string;
}

/** The results of the job that the answer is about, when it is completed. */
async function resultsOf(answer: Answer, user = agent): Promise<Result[]> {
  expect(answer.status).toBe(202);
  const done = await waitFor(async () => {
    const { body } = await app.get(answer.headers.get('location')!, user);
    return body.status === 'completed' && body;
  });
  return done.results;
}

async function create(titles: readonly string[], user = agent): Promise<number[]> {
  const answer = await app.post(`${TICKETS}/create_many.json`, user, {
    tickets: titles.map((title) => ({ title })),
  });
  return (await resultsOf(answer, user)).map((result) => result.id);
}

const show = async (id: number, user = agent) => (await app.get(`${TICKETS}/${id}.json`, user)).body.ticket;
const statuses = (results: readonly Result[]) => results.map((result) => result.status);

describe('A write of many tickets', () => {
  test('is answered with the status of a job and where to find it', async () => {
    const answer = await app.post(`${TICKETS}/create_many.json`, agent, {
      tickets: [{ subject: 'Printer on fire', comment: { body: 'Smoke' }, tags: ['hardware'] }],
    });
    expect(answer.status).toBe(202);
    expect(Object.keys(answer.body)).toEqual([
      'id',
      'url',
      'total',
      'progress',
      'status',
      'message',
      'results',
    ]);
    expect(answer.headers.get('location')).toBe(answer.body.url);
    const [result] = await resultsOf(answer);
    const ticket = await show(result!.id);
    expect(ticket).toEqual({
      id: result!.id,
      url: `${app.origin}/api/v2/tickets/${result!.id}.json`,
      title: 'Printer on fire',
      description: 'Smoke',
      status: 'new',
      priority: null,
      tags: ['hardware'],
      revision: 1,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      updated_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    });
  });

  test('updates each ticket as it says, where the query names no ids', async () => {
    const [a, b] = await create(['A', 'B']);
    const answer = await app.call('PUT', `${TICKETS}/update_many`, agent, {
      tickets: [
        { id: a, status: 'solved' },
        { id: b, title: 'B renamed' },
        { id: 999_999_999, title: 'Nobody' },
      ],
    });
    expect(await resultsOf(answer)).toMatchObject([
      { id: a, title: 'A', status: 'Updated', errors: '' },
      { id: b, title: 'B renamed', status: 'Updated', errors: '' },
      { id: 999_999_999, title: null, status: 'Failed', errors: 'Ticket 999999999 was not found' },
    ]);
    expect(await show(a!)).toMatchObject({ status: 'solved', revision: 2 });
  });

  test('updates all of the ids in the query the same way', async () => {
    const [a, b] = await create(['A', 'B']);
    const answer = await app.call('PUT', `${TICKETS}/update_many.json?ids=${b},${a}`, agent, {
      ticket: { priority: 'high', subject: 'Both' },
    });
    expect((await resultsOf(answer)).map((result) => result.id)).toEqual([b, a]);
    for (const id of [a, b])
      expect(await show(id!)).toMatchObject({ title: 'Both', priority: 'high', revision: 2 });
  });

  test('deletes the ids in the query, also when the request brings a body', async () => {
    const [a, b] = await create(['A', 'B']);
    const answer = await app.call('DELETE', `${TICKETS}/destroy_many.json?ids=${a},${b},${a}`, agent, {
      why: 'spam',
    });
    expect(statuses(await resultsOf(answer))).toEqual(['Deleted', 'Deleted', 'Failed']);
    expect((await app.get(`${TICKETS}/${a}`, agent)).status).toBe(404);
  });

  test("does not reach another account's tickets", async () => {
    const [mine] = await create(['Mine']);
    const update = await app.call('PUT', `${TICKETS}/update_many?ids=${mine}`, stranger, {
      ticket: { title: 'Theirs' },
    });
    expect(statuses(await resultsOf(update, stranger))).toEqual(['Failed']);
    const deletion = await app.call('DELETE', `${TICKETS}/destroy_many?ids=${mine}`, stranger);
    expect(statuses(await resultsOf(deletion, stranger))).toEqual(['Failed']);
    expect(await show(mine!)).toMatchObject({ title: 'Mine', revision: 1 });
  });

  test('is what a job of the same tasks is', async () => {
    const [id] = await create(['A']);
    const answer = await app.post('/api/v2/jobs.json', agent, {
      type: 'tickets.update',
      tasks: [{ id, title: 'B' }],
    });
    expect(await resultsOf(answer)).toMatchObject([{ id, title: 'B', status: 'Updated' }]);
  });
});

describe('A write that is refused names the fields as the client wrote them', () => {
  const detailsOf = (answer: Answer): unknown => {
    expect([answer.status, answer.body.error]).toEqual([422, 'RecordInvalid']);
    return answer.body.details;
  };

  test('of each bad ticket, with its position', async () => {
    const answer = await app.post(`${TICKETS}/create_many`, agent, {
      tickets: [{ title: 'Good' }, { title: '' }, { title: 'Good', color: 'red' }, 'text'],
    });
    expect(detailsOf(answer)).toEqual({
      'tickets.1.title': [{ description: 'expected text that is not blank', position: 1 }],
      'tickets.2.color': [{ description: 'is not a known field', position: 2 }],
      'tickets.3': [{ description: 'expected an object that describes a ticket', position: 3 }],
    });
  });

  test('once, where one ticket stands for many ids', async () => {
    const bad = await app.call('PUT', `${TICKETS}/update_many?ids=1,2,3`, agent, {
      ticket: { status: 'done' },
    });
    expect(Object.keys(detailsOf(bad) as object)).toEqual(['ticket.status']);
    const large = await app.call('PUT', `${TICKETS}/update_many?ids=1,2,3`, agent, {
      ticket: { description: 'x'.repeat(5_000) },
    });
    expect(detailsOf(large)).toEqual({
      ticket: [{ description: expect.stringContaining('at most 4096 bytes') }],
    });
  });

  test.each([
    ['POST', 'create_many', {}, 'tickets'],
    ['POST', 'create_many', { tickets: [] }, 'tickets'],
    ['POST', 'create_many', undefined, 'body'],
    ['POST', 'create_many?name=x', { tickets: [{ title: 'A' }] }, 'name'],
    ['PUT', 'update_many', { tickets: [{ title: 'A' }] }, 'tickets.0.id'],
    ['PUT', 'update_many?ids=', { ticket: {} }, 'ids'],
    ['PUT', 'update_many?ids=1,x', { ticket: {} }, 'ids'],
    ['PUT', 'update_many?ids=1&ids=2', { ticket: {} }, 'ids'],
    ['PUT', 'update_many?ids=1', {}, 'ticket'],
    ['DELETE', 'destroy_many', undefined, 'ids'],
    ['DELETE', 'destroy_many?ids=', undefined, 'ids'],
    ['DELETE', 'destroy_many?ids=0', undefined, 'ids'],
  ])('%s %s with %j: %s', async (method, path, body, field) => {
    const before = await app.prisma.jobStatus.count();
    expect(
      Object.keys(detailsOf(await app.call(method, `${TICKETS}/${path}`, agent, body)) as object),
    ).toEqual([field]);
    expect(await app.prisma.jobStatus.count()).toBe(before);
  });
});

describe('Reading tickets', () => {
  test('pages through the account, newest first, forth and back', async () => {
    const reader = await app.addUser('reader@example.com', 'reading');
    const ids = await create(['1', '2', '3', '4', '5'], reader);
    const idsOf = (answer: Answer): number[] =>
      answer.body.tickets.map((ticket: { id: number }) => ticket.id);
    const first = await app.get(`${TICKETS}.json?page[size]=2`, reader);
    expect(idsOf(first)).toEqual([ids[4], ids[3]]);
    expect(first.body.links.prev).toBeNull();
    const second = await app.get(first.body.links.next, reader);
    expect(idsOf(second)).toEqual([ids[2], ids[1]]);
    const last = await app.get(second.body.links.next, reader);
    expect(idsOf(last)).toEqual([ids[0]]);
    expect(last.body.meta.has_more).toBe(false);
    expect(last.body.links.next).toBeNull();
    expect(idsOf(await app.get(last.body.links.prev, reader))).toEqual([ids[2], ids[1]]);
    expect(idsOf(await app.get(TICKETS, reader))).toEqual(ids.toReversed());
  });

  test.each([
    'page[size]=0',
    'page[size]=101',
    `page[after]=${Buffer.from('x').toString('base64url')}`,
    'sort=title',
  ])('refuses ?%s', async (query) => {
    const answer = await app.get(`${TICKETS}?${query}`, agent);
    expect(answer.status).toBe(422);
    expect(Object.keys(answer.body.details)).toEqual([query.split('=')[0]]);
  });

  test("says 404 for no ticket, no id and another account's ticket", async () => {
    const [id] = await create(['Mine']);
    expect((await app.get(`${TICKETS}/${id}`, stranger)).status).toBe(404);
    for (const path of ['999999999', 'x', '0', '99999999999999999999']) {
      const answer = await app.get(`${TICKETS}/${path}`, agent);
      expect([answer.status, answer.body]).toEqual([
        404,
        { error: 'RecordNotFound', description: 'Not found' },
      ]);
    }
  });

  test('needs credentials', async () => {
    expect((await app.get(TICKETS, null)).status).toBe(401);
  });
});
