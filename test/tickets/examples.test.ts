import { expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { createTask, updateTask } from '../../src/tickets/ticket.schemas.js';

const example = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`../../examples/${name}`, import.meta.url), 'utf8')) as T;

test('The example tickets can be created as they are, and each has a title of its own', async () => {
  const { tickets } = await example<{ tickets: unknown[] }>('tickets.json');
  expect(tickets).toHaveLength(200);
  const titles = tickets.map((ticket) => createTask.parse(ticket).title);
  expect(new Set(titles).size).toBe(200);
});

test('The example updates are of example tickets, or say why not', async () => {
  const { tickets } = await example<{ tickets: { title: string }[] }>('tickets.json');
  const { updates } = await example<{
    updates: { title?: string; id?: number; change: object; refused?: string }[];
  }>('ticket-updates.json');
  const titles = new Set(tickets.map((ticket) => ticket.title));
  for (const { title, id, change, refused } of updates) {
    updateTask.parse({ id: id ?? 1, ...change });
    expect(title === undefined ? refused : titles.has(title)).toBeTruthy();
  }
});
