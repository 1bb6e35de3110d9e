import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectError, expectInvalid, JOBS, SEVEN_KEYS } from '../http/http-support.js';
import type { Answer } from '../support/app.js';
import { Scene, TIME } from './contract-support.js';

const TICKETS = '/api/v2/tickets';
const MANY = { create: `${TICKETS}/create_many.json`, update: `${TICKETS}/update_many.json` };

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene.close());

const call = (method: string, path: string, body?: unknown) =>
  scene.served.app.call(method, path, scene.user, body);
const put = (query: string, body: unknown) => call('PUT', `${MANY.update}${query}`, body);
const ticket = async (id: number) => (await scene.get(`${TICKETS}/${id}.json`)).body.ticket;

/** The results of the job that the answer is about, once it has ended. */
async function resultsOf(answer: Answer): Promise<{ id: number; status: string; errors: string }[]> {
  expect([answer.status, answer.headers.get('location')]).toEqual([202, answer.body.url]);
  expect(Object.keys(answer.body)).toEqual(SEVEN_KEYS);
  const status = await scene.ended(answer.body.id);
  expect(status.status).toBe('completed');
  return status.results;
}

const create = async (...tickets: object[]): Promise<number[]> =>
  (await resultsOf(await scene.post(MANY.create, { tickets }))).map((result) => result.id);

describe('a write of many tickets is answered 202 with the status of its job', () => {
  test('POST create_many takes a title or subject, description or comment, status, priority and tags', async () => {
    const [one, other] = await create(
      { title: 'Printer', description: 'It burns', status: 'open', priority: 'urgent', tags: ['hardware'] },
      { subject: 'Keyboard', comment: { body: 'It is wet' } },
    );
    expect(await ticket(one!)).toMatchObject({
      title: 'Printer',
      description: 'It burns',
      status: 'open',
      priority: 'urgent',
      tags: ['hardware'],
    });
    expect(await ticket(other!)).toMatchObject({
      title: 'Keyboard',
      description: 'It is wet',
      status: 'new',
      priority: null,
      tags: [],
    });
  });

  test('PUT update_many with ids makes the same change to each of them', async () => {
    const ids = await create({ title: 'A' }, { title: 'B' });
    await resultsOf(await put(`?ids=${ids.join()}`, { ticket: { status: 'solved' } }));
    for (const id of ids) expect((await ticket(id)).status).toBe('solved');
  });

  test('PUT update_many without ids makes to each ticket its own change', async () => {
    const [a, b] = await create({ title: 'A' }, { title: 'B' });
    const tickets = [
      { id: a, status: 'pending' },
      { id: b, subject: 'B renamed' },
    ];
    await resultsOf(await put('', { tickets }));
    expect(await ticket(a!)).toMatchObject({ title: 'A', status: 'pending' });
    expect(await ticket(b!)).toMatchObject({ title: 'B renamed', status: 'new' });
  });

  test('DELETE destroy_many removes the tickets of its ids', async () => {
    const ids = await create({ title: 'A' }, { title: 'B' });
    await resultsOf(await call('DELETE', `${TICKETS}/destroy_many.json?ids=${ids.join()}`));
    for (const id of ids) expectError(await scene.get(`${TICKETS}/${id}.json`), 404, 'RecordNotFound');
  });
});

describe('tickets are read', () => {
  test('in a list of tickets, meta and links', async () => {
    const [id] = await create({ title: 'Newest' });
    const { status, body } = await scene.get(`${TICKETS}.json?page[size]=1`);
    expect([status, Object.keys(body)]).toEqual([200, ['tickets', 'meta', 'links']]);
    expect(body.tickets).toEqual([await ticket(id!)]);
  });

  test('one by one, as {"ticket":{…}}', async () => {
    const [id] = await create({ title: 'One' });
    const { status, body } = await scene.get(`${TICKETS}/${id}.json`);
    expect([status, Object.keys(body)]).toEqual([200, ['ticket']]);
    expect(body.ticket).toMatchObject({ id, created_at: expect.stringMatching(TIME) });
    expectError(await scene.get(`${TICKETS}/999999.json`), 404, 'RecordNotFound');
  });

  test('by their own account alone', async () => {
    const [id] = await create({ title: 'Ours' });
    const stranger = await scene.served.app.addUser('stranger@example.com', 'other', 'admin');
    expectError(await scene.get(`${TICKETS}/${id}.json`, {}, stranger), 404, 'RecordNotFound');
    expect((await scene.get(`${TICKETS}.json`, {}, stranger)).body.tickets).toEqual([]);
  });
});

describe('as tasks of a job', () => {
  const run = async (type: string, tasks: readonly unknown[]) =>
    resultsOf(await scene.post(JOBS, { type, tasks }));

  test('the types are tickets.create, tickets.update and tickets.delete', async () => {
    const [created] = await run('tickets.create', [{ title: 'Task' }]);
    const id = created!.id;
    expect(await run('tickets.update', [{ id, priority: 'low' }])).toMatchObject([{ status: 'Updated' }]);
    expect(await ticket(id)).toMatchObject({ title: 'Task', priority: 'low' });
    expect(await run('tickets.delete', [{ id }])).toMatchObject([{ status: 'Deleted' }]);
  });

  test('a task without what its type needs is a 422', async () => {
    for (const [type, task, field] of [
      ['tickets.create', { description: 'No title' }, 'tasks.0.title'],
      ['tickets.update', { title: 'No id' }, 'tasks.0.id'],
      ['tickets.delete', { id: 1, title: 'Too much' }, 'tasks.0.title'],
    ] as const)
      expectInvalid(await scene.post(JOBS, { type, tasks: [task] }), field);
  });
});

describe('a result', () => {
  const only = async (answer: Answer) => JSON.stringify((await resultsOf(answer))[0]);
  const expected = (title: string, action: string, id: number, status: string) =>
    `{"title":"${title}","action":"${action}","errors":"","id":${id},"success":true,"status":"${status}"}`;

  test('has title, action, errors, id, success and status, in this order, whatever was done', async () => {
    const title = 'The whole bottle went over my keyboard';
    const created = await scene.post(MANY.create, { tickets: [{ title }] });
    const id = (await resultsOf(created))[0]!.id;
    expect(await only(created)).toBe(expected(title, 'create', id, 'Created'));
    const updated = await put(`?ids=${id}`, { ticket: { status: 'open' } });
    expect(await only(updated)).toBe(expected(title, 'update', id, 'Updated'));
    const deleted = await call('DELETE', `${TICKETS}/destroy_many.json?ids=${id}`);
    expect(await only(deleted)).toBe(expected(title, 'delete', id, 'Deleted'));
  });

  test('of a ticket that could not be written is success false, Failed, and errors says why', async () => {
    const [closed] = await create({ title: 'Closed', status: 'closed' });
    const answer = await put(`?ids=999999,${closed}`, { ticket: { status: 'open' } });
    expect(await resultsOf(answer)).toMatchObject([
      {
        action: 'update',
        id: 999_999,
        success: false,
        status: 'Failed',
        errors: 'Ticket 999999 was not found',
      },
      {
        id: closed,
        success: false,
        status: 'Failed',
        errors: `Ticket ${closed} is closed and cannot be changed`,
      },
    ]);
  });
});

describe('writing', () => {
  test('a ticket once is one revision of it', async () => {
    const [id] = await create({ title: 'A' });
    await resultsOf(await put(`?ids=${id}`, { ticket: { title: 'B' } }));
    expect((await ticket(id!)).revision).toBe(2);
  });

  test('a ticket several times in a job is done in the order of the tasks', async () => {
    const [id] = await create({ title: 'Start' });
    const tickets = Array.from({ length: 30 }, (_, n) => ({ id, title: `Change ${n}` }));
    await resultsOf(await put('', { tickets }));
    expect(await ticket(id!)).toMatchObject({ title: 'Change 29', revision: 31 });
  });
});
