import type { Ticket } from '../database/generated/client.js';

/**
 * How a ticket looks to a client.
 * @param origin such as `https://api.example.com`
 */
export function ticketView(ticket: Ticket, origin: string) {
  const id = Number(ticket.id);
  return {
    id,
    url: `${origin}/api/v2/tickets/${id}.json`,
    title: ticket.title,
    description: ticket.description,
    status: ticket.status,
    priority: ticket.priority,
    tags: ticket.tags,
    revision: ticket.revision,
    created_at: ticket.createdAt.toISOString(),
    updated_at: ticket.updatedAt.toISOString(),
  };
}
