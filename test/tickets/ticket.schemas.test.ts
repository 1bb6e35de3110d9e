import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { fieldErrors } from '../../src/http/validate.js';
import {
  createTask,
  deleteTask,
  destroyQuery,
  manyTickets,
  sameChanges,
  updateQuery,
  updateTask,
} from '../../src/tickets/ticket.schemas.js';

/** The complaints as `field: description`. */
function complaints(schema: z.ZodType, value: unknown): string[] {
  const parsed = schema.safeParse(value);
  if (parsed.success) return [];
  return fieldErrors(parsed.error).map(({ field, description }) => `${field}: ${description}`);
}

describe('A ticket to create', () => {
  test('has the defaults of a new ticket', () => {
    expect(createTask.parse({ title: 'Printer on fire' })).toEqual({
      title: 'Printer on fire',
      description: '',
      status: 'new',
      priority: null,
      tags: [],
    });
  });

  test('may be written with the other names of title and description', () => {
    expect(createTask.parse({ subject: 'Printer', comment: { body: 'It burns' } })).toMatchObject({
      title: 'Printer',
      description: 'It burns',
    });
  });

  test.each([
    [{}, 'title: expected a title'],
    [{ title: '' }, 'title: expected text that is not blank'],
    [{ title: ' \t' }, 'title: expected text that is not blank'],
    [{ title: 7 }, 'title: expected a string'],
    [{ title: null }, 'title: expected a string'],
    [{ title: 'x'.repeat(1_001) }, 'title: expected at most 1,000 characters'],
    [{ title: 'a', subject: 'a' }, 'subject: expected either title or subject, not both'],
    [
      { title: 'a', description: 'b', comment: { body: 'b' } },
      'comment: expected either description or comment, not both',
    ],
    [{ title: 'a', description: 'x'.repeat(65_536) }, 'description: expected at most 65,535 characters'],
    [{ title: 'a', comment: 'text' }, 'comment: expected an object with a body'],
    [{ title: 'a', comment: { body: 'b', public: true } }, 'comment.public: is not a known field'],
    [{ title: 'a', status: 'done' }, 'status: expected one of new, open, pending, hold, solved, closed'],
    [{ title: 'a', priority: 'top' }, 'priority: expected one of low, normal, high, urgent, or null'],
    [{ title: 'a', tags: 'vip' }, 'tags: expected an array of strings'],
    [{ title: 'a', tags: ['ok', ''] }, 'tags.1: expected text that is not blank'],
    [{ title: 'a', tags: ['x'.repeat(201)] }, 'tags.0: expected at most 200 characters'],
    [{ title: 'a', tags: Array<string>(101).fill('t') }, 'tags: expected at most 100 tags'],
    [{ title: 'a', assignee_id: 3 }, 'assignee_id: is not a known field'],
    [[], 'body: expected an object that describes a ticket'],
    [null, 'body: expected an object that describes a ticket'],
  ])('is refused as %j', (ticket, complaint) => {
    expect(complaints(createTask, ticket)).toEqual([complaint]);
  });

  test('is told all that is wrong with it at once', () => {
    expect(complaints(createTask, { title: '', status: 'done', colour: 'red' })).toHaveLength(3);
  });
});

describe('A ticket to update', () => {
  test('keeps absent members absent, and a null priority null', () => {
    expect(Object.keys(updateTask.parse({ id: 4 }))).toEqual(['id']);
    expect(updateTask.parse({ id: 4, priority: null, subject: 'New name' })).toEqual({
      id: 4,
      priority: null,
      title: 'New name',
    });
  });

  test.each([
    [{ title: 'a' }, 'id: expected the id of a ticket'],
    [{ id: 0 }, 'id: expected the id of a ticket'],
    [{ id: '7' }, 'id: expected the id of a ticket'],
    [{ id: 1.5 }, 'id: expected the id of a ticket'],
    [{ id: 2 ** 53 }, 'id: expected the id of a ticket'],
    [{ id: 1, description: null }, 'description: expected a string'],
    [{ id: 1, tags: null }, 'tags: expected an array of strings'],
    [{ id: 1, revision: 3 }, 'revision: is not a known field'],
  ])('is refused as %j', (ticket, complaint) => {
    expect(complaints(updateTask, ticket)).toEqual([complaint]);
  });
});

test('A ticket to delete is an id and nothing else', () => {
  expect(deleteTask.parse({ id: 4 })).toEqual({ id: 4 });
  expect(complaints(deleteTask, { id: 4, title: 'a' })).toEqual(['title: is not a known field']);
});

describe('A request for many', () => {
  test('names its ids in the query', () => {
    expect(destroyQuery.parse({ ids: '3, 1,2' }).ids).toEqual([3, 1, 2]);
    expect(updateQuery.parse({}).ids).toBeUndefined();
  });

  test.each([{ ids: '' }, { ids: '1,,2' }, { ids: '1,x' }, { ids: '-1' }, { ids: ['1', '2'] }])(
    'is refused with the query %j',
    (query) => {
      expect(complaints(updateQuery, query)).toEqual(['ids: expected ids of tickets, separated by commas']);
      expect(complaints(destroyQuery, query)).toEqual(['ids: expected ids of tickets, separated by commas']);
    },
  );

  test('needs tickets', () => {
    const complaint = 'tickets: expected an array of one ticket or more';
    expect(complaints(manyTickets, {})).toEqual([complaint]);
    expect(complaints(manyTickets, { tickets: [] })).toEqual([complaint]);
    expect(complaints(manyTickets, { tickets: {} })).toEqual([complaint]);
    expect(complaints(manyTickets, undefined)).toEqual(['body: expected an object with tickets']);
    expect(complaints(manyTickets, { tickets: [{}], name: 'x' })).toEqual(['name: is not a known field']);
  });

  test('or one ticket without an id, where ids are in the query', () => {
    expect(sameChanges.parse({ ticket: { subject: 'Same' } })).toEqual({ ticket: { title: 'Same' } });
    expect(complaints(sameChanges, { ticket: { id: 1, status: 'done' } })).toEqual([
      'ticket.status: expected one of new, open, pending, hold, solved, closed',
      'ticket.id: is not a known field',
    ]);
    expect(complaints(sameChanges, { tickets: [] })).toContain(
      'ticket: expected an object with what to change',
    );
  });
});

test('Every task has a JSON schema for the documentation', () => {
  for (const schema of [createTask, updateTask, deleteTask])
    expect(z.toJSONSchema(schema, { io: 'input' })).toMatchObject({
      type: 'object',
      additionalProperties: false,
    });
});
