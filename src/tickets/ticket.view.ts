import type { z } from 'zod';
import type { Ticket } from '../database/generated/client.js';
import type { TicketPriority, TicketStatus } from './ticket.js';
import type { ticket as ticketAnswer } from './ticket.answers.js';

/**
 * How a ticket looks to a client.
 * @param origin such as `https://api.example.com`
 */
export function ticketView(ticket: Ticket, origin: string): z.output<typeof ticketAnswer> {
  const id = Number(ticket.id);
  return {
    id,
    url: `${origin}/api/v2/tickets/${id}.json`,
    title: ticket.title,
    description: ticket.description,
    // Constraints of the table hold these two to their words.
    status: ticket.status as TicketStatus,
    priority: ticket.priority as TicketPriority | null,
    tags: ticket.tags,
    revision: ticket.revision,
    created_at: ticket.createdAt.toISOString(),
    updated_at: ticket.updatedAt.toISOString(),
  };
}
