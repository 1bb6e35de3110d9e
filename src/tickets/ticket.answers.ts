import { z } from 'zod';
import { pageAnswerShape } from '../http/paging.js';
import { TICKET_PRIORITIES, TICKET_STATUSES } from './ticket.js';

/** The shapes of answers about tickets. */

const time = z.iso.datetime().describe('RFC 3339, UTC');

export const ticket = z
  .strictObject({
    id: z.int().min(1),
    url: z.url(),
    title: z.string(),
    description: z.string(),
    status: z.enum(TICKET_STATUSES),
    priority: z.enum(TICKET_PRIORITIES).nullable(),
    tags: z.array(z.string()),
    revision: z.int().min(0).describe('How often the ticket has been written'),
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Ticket' });

export const oneTicket = z.strictObject({ ticket });
export const ticketList = z.strictObject({ tickets: z.array(ticket), ...pageAnswerShape });

export const ticketPath = z.object({
  id: z
    .string()
    .regex(/^[1-9]\d*$/)
    .describe('The id of a ticket'),
});
