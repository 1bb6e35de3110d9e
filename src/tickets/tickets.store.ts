import { Injectable } from '@nestjs/common';
import type { Ticket } from '../database/generated/client.js';
import { PrismaService } from '../database/prisma.service.js';
import { toPage, type Page, type PageRequest } from '../http/paging.js';
import type { TaskTransaction } from '../jobs/task-handler.js';
import {
  playChanges,
  type NewTicket,
  type TicketChange,
  type TicketState,
  type TicketWrite,
} from './ticket.js';

/**
 * Tickets in the database. Every read and write is one account's. The writes run in the transaction of the caller, each
 * as one or two statements however many tickets there are; their data is one JSON text, since thousands of parameters
 * would cost more to bind than the statement to run.
 */
@Injectable()
export class TicketsStore {
  constructor(private readonly prisma: PrismaService) {}

  /**
   * @returns the new ids, in the order of the tickets
   *
   * The ids rise in that order: Postgres sorts the rows before it draws their numbers. The order of RETURNING is no
   * promise, so the ids are sorted here.
   */
  async create(tx: TaskTransaction, accountId: number, tickets: readonly NewTicket[]): Promise<number[]> {
    const rows = await tx.$queryRaw<{ id: bigint }[]>`
      INSERT INTO tickets (account_id, title, description, status, priority, tags)
      SELECT ${accountId}, title, description, status, priority, tags
        FROM ROWS FROM (
          json_to_recordset(${JSON.stringify(tickets)}::json)
            AS (title text, description text, status text, priority text, tags text[])
        ) WITH ORDINALITY AS t (title, description, status, priority, tags, place)
       ORDER BY place
      RETURNING id`;
    return rows.map((row) => Number(row.id)).sort((a, b) => a - b);
  }

  /**
   * Writes the changes in their order: of two changes of one ticket the later one wins, and the revision grows by two.
   * @returns an outcome a change
   *
   * Two statements. The first locks and reads; what comes of the changes is then decided here, and the second writes
   * each ticket once. Rounds of one UPDATE for each repetition of a ticket would write such a ticket again and again.
   */
  async update(
    tx: TaskTransaction,
    accountId: number,
    changes: readonly TicketChange[],
  ): Promise<TicketWrite[]> {
    const states = await this.#lock(tx, accountId, changes);
    const { writes, merged } = playChanges(states, changes);
    if (merged.length === 0) return writes;
    // A null in the record means absent, but for the priority, which can be null: that one brings a flag.
    const rows = merged.map((change) => ({ ...change, sets_priority: change.priority !== undefined }));
    const count = await tx.$executeRaw`
      UPDATE tickets t
         SET title = coalesce(c.title, t.title),
             description = coalesce(c.description, t.description),
             status = coalesce(c.status, t.status),
             priority = CASE WHEN c.sets_priority THEN c.priority ELSE t.priority END,
             tags = coalesce(c.tags, t.tags),
             revision = t.revision + c.times,
             updated_at = clock_timestamp()
        FROM json_to_recordset(${JSON.stringify(rows)}::json)
          AS c (id bigint, title text, description text, status text, priority text, tags text[], times int,
                sets_priority boolean)
       WHERE t.id = c.id AND t.account_id = ${accountId}`;
    expectLocked(count, merged.length);
    return writes;
  }

  /** Deletes tickets, also closed ones. @returns an outcome an id: the second time that an id is named, it is missing */
  async delete(
    tx: TaskTransaction,
    accountId: number,
    tickets: readonly { id: number }[],
  ): Promise<TicketWrite[]> {
    const states = await this.#lock(tx, accountId, tickets);
    const ids = JSON.stringify([...states.keys()]);
    const writes = tickets.map(({ id }): TicketWrite => {
      const state = states.get(id);
      states.delete(id);
      return state ? { outcome: 'written', id, title: state.title } : { outcome: 'missing', id };
    });
    const count = await tx.$executeRaw`
      DELETE FROM tickets t USING json_array_elements_text(${ids}::json) AS d (id)
       WHERE t.id = d.id::bigint AND t.account_id = ${accountId}`;
    expectLocked(count, writes.filter((write) => write.outcome === 'written').length);
    return writes;
  }

  /**
   * Locks tickets until the transaction ends. Always in the order of their ids: two batches that name the same tickets in
   * different orders wait for each other, where UPDATE alone, which locks in the order it comes upon rows, would deadlock.
   * Postgres locks above the sort, and hands out a row as it is after the wait.
   */
  async #lock(
    tx: TaskTransaction,
    accountId: number,
    tickets: readonly { id: number }[],
  ): Promise<Map<number, TicketState>> {
    const ids = JSON.stringify(tickets.map((ticket) => ticket.id));
    const rows = await tx.$queryRaw<(TicketState & { id: bigint })[]>`
      SELECT id, title, status FROM tickets
       WHERE account_id = ${accountId}
         AND id = ANY(ARRAY(SELECT value::bigint FROM json_array_elements_text(${ids}::json)))
       ORDER BY id FOR UPDATE`;
    return new Map(rows.map(({ id, title, status }) => [Number(id), { title, status }]));
  }

  /** @returns null when the account has no such ticket */
  find(accountId: number, id: number): Promise<Ticket | null> {
    return this.prisma.ticket.findFirst({ where: { id, accountId } });
  }

  /** The account's tickets, newest first. @param page whose cursors are ids */
  async list(accountId: number, page: PageRequest): Promise<Page<Ticket>> {
    const { after, before, size } = page;
    const rows = await this.prisma.ticket.findMany({
      where: {
        accountId,
        id: {
          ...(after !== undefined && { lt: BigInt(after) }),
          ...(before !== undefined && { gt: BigInt(before) }),
        },
      },
      orderBy: { id: before === undefined ? 'desc' : 'asc' },
      take: size + 1,
    });
    return toPage(rows, page);
  }
}

/** What was locked is written: anything else is a fault of this file, and undoes the transaction. */
function expectLocked(written: number, locked: number): void {
  if (written !== locked) throw new Error(`expected to write ${locked} locked tickets, wrote ${written}`);
}
