import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { sessionsWait } from '../support/locks.js';
import { newTicket, TestTickets } from './ticket-support.js';

let room: TestTickets;
beforeAll(async () => {
  room = await TestTickets.start();
});
afterAll(() => room.stop());

describe('Two batches that name the same tickets in opposite orders', () => {
  let release: () => Promise<void> = () => Promise.resolve();
  afterEach(() => release());

  /** Holds a ticket until `release`. */
  async function hold(id: number): Promise<void> {
    const client = await room.sql.connect();
    await client.query('BEGIN');
    await client.query('SELECT 1 FROM tickets WHERE id = $1 FOR UPDATE', [id]);
    release = async () => {
      release = () => Promise.resolve();
      await client.query('COMMIT');
      client.release();
    };
  }

  test('both finish: they take the locks in the same order', async () => {
    const ids = await room.add([newTicket('A'), newTicket('B'), newTicket('C')]);
    await hold(ids[0]!);
    const upwards = room.run(
      room.update,
      ids.map((id) => ({ id, title: 'Upwards' })),
    );
    await sessionsWait(room.sql);
    const downwards = room.run(
      room.update,
      ids.toReversed().map((id) => ({ id, title: 'Downwards' })),
    );
    // Locking in the order of its tasks, the second would hold tickets that the first comes to next.
    await sessionsWait(room.sql, 2);
    await release();
    const outcomes = (await Promise.all([upwards, downwards])).flat();
    expect(outcomes.every((outcome) => outcome.success)).toBe(true);
    for (const id of ids) expect(await room.ticket(id)).toMatchObject({ title: 'Downwards', revision: 3 });
  });

  test('a deletion and an update both finish, and the one that comes second sees what the first has done', async () => {
    const ids = await room.add([newTicket('A'), newTicket('B')]);
    await hold(ids[0]!);
    const deletion = room.run(
      room.delete,
      ids.toReversed().map((id) => ({ id })),
    );
    await sessionsWait(room.sql);
    const update = room.run(
      room.update,
      ids.map((id) => ({ id, title: 'Too late' })),
    );
    await sessionsWait(room.sql, 2);
    await release();
    expect((await deletion).map((outcome) => outcome.success)).toEqual([true, true]);
    expect((await update).map((outcome) => !outcome.success && outcome.error)).toEqual([
      'RecordNotFound',
      'RecordNotFound',
    ]);
  });

  test('a ticket that another batch closes meanwhile is not changed', async () => {
    const [id] = await room.add([newTicket('A')]);
    await hold(id!);
    const closing = room.run(room.update, [{ id: id!, status: 'closed' as const }]);
    await sessionsWait(room.sql);
    const late = room.run(room.update, [{ id: id!, title: 'Too late' }]);
    await sessionsWait(room.sql, 2);
    await release();
    await closing;
    expect((await late)[0]).toMatchObject({ success: false, error: 'TicketClosed' });
    expect(await room.ticket(id!)).toMatchObject({ title: 'A', revision: 2 });
  });
});

describe('A transaction', () => {
  test('that is rolled back leaves nothing behind', async () => {
    const [kept] = await room.add([newTicket('Kept')]);
    const before = await room.prisma.ticket.count();
    const failure = new Error('the worker gave up');
    const work = room.prisma.$transaction(async (tx) => {
      await room.store.create(tx, room.accountId, [newTicket('Ghost')]);
      await room.store.update(tx, room.accountId, [{ id: kept!, title: 'Ghost' }]);
      await room.store.delete(tx, room.accountId, [{ id: kept! }]);
      throw failure;
    });
    await expect(work).rejects.toBe(failure);
    expect(await room.prisma.ticket.count()).toBe(before);
    expect(await room.ticket(kept!)).toMatchObject({ title: 'Kept', revision: 1 });
  });

  test('of 1,000 tickets is one statement to create and two to update or delete them', async () => {
    const tickets = Array.from({ length: 1_000 }, (_, n) =>
      newTicket(`Ticket ${n}`, { tags: ['bulk', `t${n}`] }),
    );
    let ids: number[] = [];
    const creates = await room.countStatements(async (tx) => {
      ids = await room.store.create(tx, room.accountId, tickets);
    });
    expect(new Set(ids).size).toBe(1_000);
    expect(await room.ticket(ids[617]!)).toMatchObject({ title: 'Ticket 617', tags: ['bulk', 't617'] });

    const twice = [...ids.slice(0, 500), ...ids.slice(0, 500)];
    const changes = twice.map((id, n) => ({ id, title: `Change ${n}` }));
    const updates = await room.countStatements((tx) => room.store.update(tx, room.accountId, changes));
    expect(await room.ticket(ids[17]!)).toMatchObject({ title: 'Change 517', revision: 3 });

    const deletes = await room.countStatements((tx) =>
      room.store.delete(
        tx,
        room.accountId,
        ids.map((id) => ({ id })),
      ),
    );
    expect(await room.prisma.ticket.count({ where: { id: { in: ids } } })).toBe(0);
    expect({ creates, updates, deletes }).toEqual({ creates: 1, updates: 2, deletes: 2 });
  });
});

test('The database itself refuses a status and a priority that there are not', async () => {
  const insert = (status: string, priority: string) =>
    room.sql.query('INSERT INTO tickets (account_id, title, status, priority) VALUES ($1, $2, $3, $4)', [
      room.accountId,
      'A',
      status,
      priority,
    ]);
  await expect(insert('done', 'low')).rejects.toMatchObject({ constraint: 'ticket_status_is_known' });
  await expect(insert('new', 'top')).rejects.toMatchObject({ constraint: 'ticket_priority_is_known' });
});
