import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import type { Ticket } from '../database/generated/client.js';
import { DomainError, invalid, notFound, type FieldError } from '../errors.js';
import type { Page, PageRequest } from '../http/paging.js';
import { noQuery, parseInput } from '../http/validate.js';
import type { StatusRow } from '../jobs/job.store.js';
import type { SubmissionKey } from '../jobs/idempotency.service.js';
import { SubmissionService } from '../jobs/submission.service.js';
import { parseTicketId } from './ticket.js';
import { destroyQuery, manyTickets, sameChanges, updateQuery } from './ticket.schemas.js';
import { TicketsStore } from './tickets.store.js';

/** How a complaint about a task is told to a client that has never heard of tasks. */
type Retell = (error: FieldError) => FieldError;

/** `tasks.3.title` is `tickets.3.title` to whoever sent tickets. */
const asTickets: Retell = (error) => ({ ...error, field: error.field.replace(/^tasks\b/, 'tickets') });

/** To whoever sent one ticket for many ids, every task is that one. */
const asOneTicket: Retell = ({ field, description }) => ({
  field: field.replace(/^tasks\.\d+/, 'ticket'),
  description,
});

/** What can be asked about tickets. Every write is a job. */
@Injectable()
export class TicketsService {
  constructor(
    private readonly submissions: SubmissionService,
    private readonly store: TicketsStore,
  ) {}

  /** @throws DomainError as SubmissionService.submit, in the words of the request; so do the other writes */
  createMany(
    caller: Principal,
    query: unknown,
    body: unknown,
    key: SubmissionKey | null = null,
  ): Promise<StatusRow> {
    parseInput(noQuery, query);
    const { tickets } = parseInput(manyTickets, body);
    return this.#submit(caller, 'tickets.create', tickets, asTickets, key);
  }

  /** With `ids`, the same changes for all of them; without, each ticket brings its own. */
  updateMany(
    caller: Principal,
    query: unknown,
    body: unknown,
    key: SubmissionKey | null = null,
  ): Promise<StatusRow> {
    const { ids } = parseInput(updateQuery, query);
    if (ids === undefined) {
      const { tickets } = parseInput(manyTickets, body);
      return this.#submit(caller, 'tickets.update', tickets, asTickets, key);
    }
    const { ticket } = parseInput(sameChanges, body);
    const tasks = ids.map((id) => ({ id, ...ticket }));
    return this.#submit(caller, 'tickets.update', tasks, asOneTicket, key);
  }

  destroyMany(caller: Principal, query: unknown, key: SubmissionKey | null = null): Promise<StatusRow> {
    const { ids } = parseInput(destroyQuery, query);
    const tasks = ids.map((id) => ({ id }));
    return this.#submit(caller, 'tickets.delete', tasks, asTickets, key);
  }

  /** @throws DomainError RecordNotFound: no such ticket in the caller's account, or no id at all */
  async ticket(caller: Principal, id: string): Promise<Ticket> {
    const parsed = parseTicketId(id);
    const ticket = parsed && (await this.store.find(caller.accountId, parsed));
    if (!ticket) throw notFound();
    return ticket;
  }

  /** Newest first. */
  async list(caller: Principal, page: PageRequest): Promise<Page<Ticket>> {
    for (const field of ['after', 'before'] as const) {
      const cursor = page[field];
      if (cursor !== undefined && parseTicketId(cursor) === null)
        throw invalid([
          { field: `page[${field}]`, description: 'expected a cursor that an earlier page gave' },
        ]);
    }
    return this.store.list(caller.accountId, page);
  }

  async #submit(
    caller: Principal,
    type: string,
    tasks: readonly unknown[],
    retell: Retell,
    key: SubmissionKey | null,
  ): Promise<StatusRow> {
    try {
      return await this.submissions.submit(caller, { type, tasks }, key);
    } catch (error) {
      throw error instanceof DomainError ? retold(error, retell) : error;
    }
  }
}

/** The error with its fields retold; complaints that have become the same are one. */
function retold(error: DomainError, retell: Retell): DomainError {
  const { fields } = error.data;
  if (!fields) return error;
  const told = new Map(fields.map(retell).map((field) => [JSON.stringify(field), field]));
  return new DomainError(error.word, error.message, { ...error.data, fields: [...told.values()] });
}
