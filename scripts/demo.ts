import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { DemoClient, type Result, type Status, type Ticket, type TicketPage } from './demo-client.js';
import { ScratchService } from './scratch-service.js';

/**
 * `npm run demo`: starts the service, makes 200 tickets in one job, updates nine of them in another, shows the progress
 * of both, and checks that everything is as it should be: exit code 0 says that it is. The final status goes to standard
 * output, as the service sent it; the story goes to standard error.
 */

interface NewTicket {
  readonly title: string;
  readonly description: string;
  readonly status?: string;
  readonly priority?: string;
  readonly tags: readonly string[];
}

/** A line of examples/ticket-updates.json: which ticket, what of it, and why that must be refused, if it must. */
interface Update {
  readonly title?: string;
  readonly id?: number;
  readonly change: Readonly<Record<string, unknown>>;
  readonly refused?: string;
}

const example = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(`../examples/${name}`, import.meta.url), 'utf8')) as T;

async function tell(client: DemoClient): Promise<void> {
  const { tickets } = await example<{ tickets: NewTicket[] }>('tickets.json');
  const { updates } = await example<{ updates: Update[] }>('ticket-updates.json');

  client.say(`\nCreating ${tickets.length} tickets in one job:`);
  const creation = await client.submit(
    'POST',
    '/api/v2/tickets/create_many.json',
    { tickets },
    '@examples/tickets.json',
  );
  const created = (await client.follow(creation)).status;
  checkCreated(created, tickets);
  checkStored(await allTickets(client, created), tickets);
  client.say(`  Checked: ${tickets.length} tickets, each result belongs to its task.`);

  const tasks = updates.map((update) => ({ id: idOf(update, created), ...update.change }));
  const refused = updates.filter((update) => update.refused).length;
  client.say(`\nUpdating ${tasks.length} of them in another job, of which ${refused} must fail:`);
  const update = await client.submit(
    'PUT',
    '/api/v2/tickets/update_many.json',
    { tickets: tasks },
    `'{"tickets":[${JSON.stringify(tasks[0])}, ...]}'`,
  );
  const { text, status } = await client.follow(update);
  await checkUpdated(client, status, updates, created);
  for (const { errors, success } of status.results)
    if (!success) client.say(`  Failed, as it must: ${errors}`);
  client.say(`  Checked: ${tasks.length - refused} tickets are changed, the others are not.`);

  client.say('\nThe final status:');
  process.stdout.write(`${text}\n`);
}

function idOf({ id, title }: Update, created: Status): number {
  const found = id ?? created.results.find((result) => result.title === title)?.id;
  assert(
    found !== undefined,
    `examples/ticket-updates.json names a ticket that there is not: ${title ?? ''}`,
  );
  return found;
}

function checkEnded(status: Status, tasks: number): void {
  assert.deepEqual(Object.keys(status), ['id', 'url', 'total', 'progress', 'status', 'message', 'results']);
  assert.equal(status.status, 'completed');
  assert.equal(status.total, tasks);
  assert.equal(status.progress, tasks);
  assert.equal(status.results.length, tasks);
  assert.match(status.message ?? '', /^Completed at \w{3} \w{3} \d\d \d\d:\d\d:\d\d \+0000 \d{4}$/);
}

function checkCreated(status: Status, tickets: readonly NewTicket[]): void {
  checkEnded(status, tickets.length);
  for (const [at, { title }] of tickets.entries()) {
    const { id, ...result } = status.results[at] as Result;
    assert(Number.isSafeInteger(id) && id > 0, `results[${at}] has no id`);
    assert.deepEqual(result, { title, action: 'create', errors: '', success: true, status: 'Created' });
  }
  assert.equal(new Set(status.results.map(({ id }) => id)).size, tickets.length, 'an id is there twice');
}

/** Reads the list page by page. @returns the tickets in the order of the job's tasks */
async function allTickets(client: DemoClient, created: Status): Promise<Ticket[]> {
  const first = new URL('/api/v2/tickets.json', created.url).href;
  client.curl(first);
  const stored = new Map<number, Ticket>();
  for (let url: string | null = first; url;) {
    const page: TicketPage = await client.get<TicketPage>(url);
    for (const ticket of page.tickets) stored.set(ticket.id, ticket);
    url = page.links.next;
  }
  assert.equal(stored.size, created.total, 'there are more or fewer tickets than were created');
  return created.results.map(({ id }) => stored.get(id) as Ticket);
}

function checkStored(stored: readonly Ticket[], tickets: readonly NewTicket[]): void {
  for (const [at, ticket] of tickets.entries()) {
    const { title, description, status, priority, tags, revision } = stored[at] as Ticket;
    assert.deepEqual(
      { title, description, status, priority, tags, revision },
      { status: 'new', priority: null, ...ticket, revision: 1 },
    );
  }
}

async function checkUpdated(
  client: DemoClient,
  status: Status,
  updates: readonly Update[],
  created: Status,
): Promise<void> {
  checkEnded(status, updates.length);
  const writes = new Map<number, Record<string, unknown>>();
  for (const [at, update] of updates.entries()) {
    const result = status.results[at] as Result;
    const id = idOf(update, created);
    assert.deepEqual(Object.keys(result), ['title', 'action', 'errors', 'id', 'success', 'status']);
    assert.equal(result.id, id);
    assert.equal(result.errors, update.refused?.replace('{id}', String(id)) ?? '');
    assert.equal(result.success, update.refused === undefined);
    assert.equal(result.status, update.refused ? 'Failed' : 'Updated');
    const before = writes.get(id) ?? { revision: 1 };
    if (result.success)
      writes.set(id, { ...before, ...asStored(update.change), revision: Number(before['revision']) + 1 });
    else if (created.results.some((ticket) => ticket.id === id)) writes.set(id, before);
  }
  for (const [id, written] of writes) {
    const url = new URL(`/api/v2/tickets/${id}.json`, status.url).href;
    const { ticket } = await client.get<{ ticket: Ticket }>(url);
    assert.deepEqual({ ...ticket, ...written }, ticket, `ticket ${id} is not as it should be`);
  }
}

/** A change under the names that a stored ticket has. */
function asStored({ subject, comment, ...rest }: Update['change']): Record<string, unknown> {
  return {
    ...rest,
    ...(subject !== undefined && { title: subject }),
    ...(comment !== undefined && { description: (comment as { body: string }).body }),
  };
}

async function main(): Promise<number> {
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => interruption.abort(new Error(`interrupted by ${name}`)));
  const service = await ScratchService.start();
  const client = new DemoClient(service, interruption.signal);
  let isRight = false;
  try {
    client.say(`Starting the service at ${service.origin} with a database of its own ...`);
    await service.ready(interruption.signal);
    client.say(`  Ready. PASSWORD=${service.password}`);
    await tell(client);
    isRight = true;
  } catch (error) {
    const { signal } = interruption;
    const said = (signal.aborted ? signal.reason : error) as Error;
    client.say(`\nThe demo failed: ${said.message}`);
    if (!signal.aborted && service.log) client.say(`\nThe service logged last:\n${service.log}`);
  }
  client.say('\nStopping the service ...');
  const exitCode = await service.stop();
  if (isRight && exitCode !== 0)
    client.say(`The service ended with ${exitCode ?? 'a kill'} where 0 was expected`);
  else if (isRight) client.say('Done: all is as it should be.');
  return isRight && exitCode === 0 ? 0 : 1;
}

process.exit(await main());
