import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { updateTask } from '../../src/tickets/ticket.schemas.js';
import { failureRecord } from '../../src/workers/outcome.js';
import type { Failed, TaskOutcome } from '../../src/jobs/task-handler.js';
import { newTicket, resultOf, TestTickets } from './ticket-support.js';

let room: TestTickets;
beforeAll(async () => {
  room = await TestTickets.start();
});
afterAll(() => room.stop());

/** A failed task's result as the worker records it, as text: the order of its keys counts. */
const recordedFailure = (outcome: TaskOutcome | undefined): string =>
  JSON.stringify(failureRecord(0, {}, outcome as Failed).result);

describe('tickets.create', () => {
  test('gives ids that rise in the order of the tasks, whose titles the results tell', async () => {
    const titles = Array.from({ length: 50 }, (_, n) => `Ticket ${(n * 37) % 50}`);
    const outcomes = await room.run(
      room.create,
      titles.map((title) => newTicket(title)),
    );
    const results = outcomes.map((outcome) => outcome.result as { id: number; title: string });
    expect(results.map((result) => result.title)).toEqual(titles);
    const ids = results.map((result) => result.id);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    for (const { id, title } of results) expect((await room.ticket(id))?.title).toBe(title);
  });

  test('stores what the task says and answers in the shape of the example', async () => {
    const task = newTicket('Café “Ångström” \\ "quoted" 🔥', {
      description: 'line one\nline two',
      status: 'pending',
      priority: 'urgent',
      tags: ['a b', 'null', '{x,"y"}', ''],
    });
    const [outcome] = await room.run(room.create, [task]);
    const { id } = outcome?.result as { id: number };
    expect(JSON.stringify(outcome?.result)).toBe(
      `{"title":${JSON.stringify(task.title)},"action":"create","errors":"","id":${id},"success":true,"status":"Created"}`,
    );
    const stored = await room.ticket(id);
    expect(stored).toMatchObject({ ...task, accountId: room.accountId, revision: 1 });
  });
});

describe('tickets.update', () => {
  test('answers with the keys and words of the example, in their order', async () => {
    const [id] = await room.add([newTicket('The whole bottle went over my keyboard')]);
    const [outcome] = await room.run(room.update, [{ id: id!, status: 'open' }]);
    expect(JSON.stringify(resultOf(outcome))).toBe(
      `{"title":"The whole bottle went over my keyboard","action":"update","errors":"","id":${id},"success":true,"status":"Updated"}`,
    );
  });

  test('writes what is named and nothing else', async () => {
    const before = newTicket('Before', { description: 'Text', priority: 'low', tags: ['x'], status: 'open' });
    const [named, cleared, touched] = await room.add([before, before, before]);
    await room.run(room.update, [
      { id: named!, title: 'After', description: '', status: 'hold', tags: [] },
      { id: cleared!, priority: null },
      { id: touched! },
    ]);
    expect(await room.ticket(named!)).toMatchObject({
      title: 'After',
      description: '',
      status: 'hold',
      priority: 'low',
      tags: [],
      revision: 2,
    });
    expect(await room.ticket(cleared!)).toMatchObject({ ...before, priority: null, revision: 2 });
    const stored = await room.ticket(touched!);
    expect(stored).toMatchObject({ ...before, revision: 2 });
    expect(stored!.updatedAt.getTime()).toBeGreaterThan(stored!.createdAt.getTime());
  });

  test('writes a ticket that is named twice in the order of the tasks', async () => {
    const [a, b] = await room.add([newTicket('A'), newTicket('B')]);
    const outcomes = await room.run(room.update, [
      { id: a!, title: 'A1', priority: 'high' },
      { id: b!, title: 'B1' },
      { id: a!, title: 'A2' },
      { id: a!, status: 'closed' },
      { id: a!, title: 'A3' },
    ]);
    expect(outcomes.map((outcome) => (outcome.result as { title: string }).title)).toEqual([
      'A1',
      'B1',
      'A2',
      'A2',
      'A2',
    ]);
    expect(outcomes.map((outcome) => outcome.success)).toEqual([true, true, true, true, false]);
    expect(await room.ticket(a!)).toMatchObject({
      title: 'A2',
      priority: 'high',
      status: 'closed',
      revision: 4,
    });
    expect(await room.ticket(b!)).toMatchObject({ title: 'B1', revision: 2 });
  });

  test('refuses unknown tickets, those of other accounts and closed ones, and writes the rest', async () => {
    const [mine, closed] = await room.add([newTicket('Mine'), newTicket('Old', { status: 'closed' })]);
    const [foreign] = await room.add([newTicket('Theirs')], room.otherAccountId);
    const unknown = 9_007_199_254_740_991;
    const outcomes = await room.run(
      room.update,
      [unknown, foreign!, closed!, mine!].map((id) => ({ id, title: 'Changed' })),
    );
    expect(outcomes.map((outcome) => (outcome.success ? 'Updated' : outcome.error))).toEqual([
      'RecordNotFound',
      'RecordNotFound',
      'TicketClosed',
      'Updated',
    ]);
    expect(outcomes.some((outcome) => !outcome.success && outcome.retry)).toBe(false);
    expect(recordedFailure(outcomes[0])).toBe(
      `{"title":null,"action":"update","errors":"Ticket ${unknown} was not found","id":${unknown},"success":false,"status":"Failed"}`,
    );
    expect(recordedFailure(outcomes[2])).toBe(
      `{"title":"Old","action":"update","errors":"Ticket ${closed} is closed and cannot be changed","id":${closed},"success":false,"status":"Failed"}`,
    );
    expect(await room.ticket(foreign!)).toMatchObject({ title: 'Theirs', revision: 1 });
    expect(await room.ticket(closed!)).toMatchObject({ title: 'Old', revision: 1 });
  });

  test('takes the task as its schema hands it over', async () => {
    const [id] = await room.add([newTicket('A', { priority: 'high' })]);
    await room.run(room.update, [updateTask.parse({ id, subject: 'Renamed', comment: { body: 'Text' } })]);
    expect(await room.ticket(id!)).toMatchObject({ title: 'Renamed', description: 'Text', priority: 'high' });
  });
});

describe('tickets.delete', () => {
  test('removes tickets, closed ones too, and does not find them a second time', async () => {
    const [a, closed] = await room.add([newTicket('A'), newTicket('Old', { status: 'closed' })]);
    const [foreign] = await room.add([newTicket('Theirs')], room.otherAccountId);
    const outcomes = await room.run(room.delete, [{ id: a! }, { id: closed! }, { id: a! }, { id: foreign! }]);
    expect(JSON.stringify(resultOf(outcomes[0]))).toBe(
      `{"title":"A","action":"delete","errors":"","id":${a},"success":true,"status":"Deleted"}`,
    );
    expect(recordedFailure(outcomes[2])).toBe(
      `{"title":null,"action":"delete","errors":"Ticket ${a} was not found","id":${a},"success":false,"status":"Failed"}`,
    );
    expect(outcomes.map((outcome) => outcome.success)).toEqual([true, true, false, false]);
    expect(await room.ticket(a!)).toBeNull();
    expect(await room.ticket(closed!)).toBeNull();
    expect(await room.ticket(foreign!)).not.toBeNull();
  });
});
