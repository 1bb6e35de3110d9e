import { z } from 'zod';
import { parseTicketId, TICKET_PRIORITIES, TICKET_STATUSES } from './ticket.js';

/**
 * The shapes of tasks and requests about tickets. What a client may write under two names (`title` or `subject`,
 * `description` or `comment.body`) it writes under one of them: a request that says both could mean either.
 */

const TITLE_MAX = 1_000;
const DESCRIPTION_MAX = 65_535;
const TAGS_MAX = 100;
const TAG_MAX = 200;

const text = (max: number) =>
  z.string('expected a string').max(max, `expected at most ${max.toLocaleString('en')} characters`);
const notBlank = (max: number) => text(max).regex(/\S/, 'expected text that is not blank');

const id = z.int('expected the id of a ticket').positive('expected the id of a ticket');

/** All that a client may say of a ticket. A description is plain text; `comment.body` is its other name. */
const fields = {
  title: notBlank(TITLE_MAX).optional(),
  subject: notBlank(TITLE_MAX).optional(),
  description: text(DESCRIPTION_MAX).optional(),
  comment: z.strictObject({ body: text(DESCRIPTION_MAX) }, 'expected an object with a body').optional(),
  status: z.enum(TICKET_STATUSES, `expected one of ${TICKET_STATUSES.join(', ')}`).optional(),
  priority: z.enum(TICKET_PRIORITIES, `expected one of ${TICKET_PRIORITIES.join(', ')}, or null`).nullish(),
  tags: z
    .array(notBlank(TAG_MAX), 'expected an array of strings')
    .max(TAGS_MAX, `expected at most ${TAGS_MAX} tags`)
    .optional(),
};

interface TwoNames {
  readonly title?: string | undefined;
  readonly subject?: string | undefined;
  readonly description?: string | undefined;
  readonly comment?: { readonly body: string } | undefined;
}

/** Brings the two names together under the ticket's own. A member that is absent stays absent. */
function oneName<Written extends TwoNames>(written: Written, context: z.RefinementCtx) {
  const { title, subject, description, comment, ...rest } = written;
  const refuseBoth = (name: string, other: string): void =>
    context.addIssue({
      code: 'custom',
      path: [other],
      message: `expected either ${name} or ${other}, not both`,
    });
  if (title !== undefined && subject !== undefined) refuseBoth('title', 'subject');
  if (description !== undefined && comment !== undefined) refuseBoth('description', 'comment');
  const oneTitle = title ?? subject;
  const oneDescription = description ?? comment?.body;
  return {
    ...rest,
    ...(oneTitle !== undefined && { title: oneTitle }),
    ...(oneDescription !== undefined && { description: oneDescription }),
  };
}

const EXPECTED_TICKET = 'expected an object that describes a ticket';

/** A task of `tickets.create`. */
export const createTask = z.strictObject(fields, EXPECTED_TICKET).transform((written, context) => {
  const { title, description = '', status = 'new', priority = null, tags = [] } = oneName(written, context);
  if (title !== undefined) return { title, description, status, priority, tags };
  context.addIssue({ code: 'custom', path: ['title'], message: 'expected a title' });
  return z.NEVER;
});

/** A task of `tickets.update`. One that changes nothing is a write all the same. */
export const updateTask = z.strictObject({ id, ...fields }, EXPECTED_TICKET).transform(oneName);

/** A task of `tickets.delete`. */
export const deleteTask = z.strictObject({ id }, 'expected an object with the id of a ticket');

const EXPECTED_TICKETS = 'expected an array of one ticket or more';

/** The body of create_many, and of update_many without ids; each ticket is checked as a task of the job. */
export const manyTickets = z.strictObject(
  { tickets: z.array(z.unknown(), EXPECTED_TICKETS).min(1, EXPECTED_TICKETS) },
  'expected an object with tickets',
);

/** The body of update_many with ids: the same changes for each of them. */
export const sameChanges = z.strictObject(
  { ticket: z.strictObject(fields, 'expected an object with what to change').transform(oneName) },
  'expected an object with a ticket',
);

/** The bodies as they are documented, with what their tickets may say. */
export const createManyBody = z.strictObject({ tickets: z.array(createTask).min(1) });
export const updateManyBody = z.union([z.strictObject({ tickets: z.array(updateTask).min(1) }), sameChanges]);

const EXPECTED_IDS = 'expected ids of tickets, separated by commas';

const ids = z.string(EXPECTED_IDS).transform((list, context) => {
  const parsed = list.split(',').map((one) => parseTicketId(one.trim()));
  if (parsed.every((one) => one !== null)) return parsed;
  context.addIssue({ code: 'custom', message: EXPECTED_IDS });
  return z.NEVER;
});

const IDS = 'Ids of tickets, separated by commas';
export const updateQuery = z.strictObject({
  ids: ids.optional().describe(`${IDS}: all get the same changes`),
});
export const destroyQuery = z.strictObject({ ids: ids.describe(IDS) });
