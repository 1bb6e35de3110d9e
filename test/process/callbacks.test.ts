import { afterEach, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { query } from '../support/scratch.js';
import { Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';
import { Way } from '../support/way.js';
import { CALLBACKS, Receiver, verified } from '../webhooks/receiver.js';

const services: Service[] = [];
const databases: TestDatabase[] = [];
const receivers: Receiver[] = [];

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop('SIGKILL')));
  await Promise.all(receivers.splice(0).map((receiver) => receiver.stop()));
  await Promise.all(databases.splice(0).map((database) => database.drop()));
});

async function testDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  databases.push(database);
  return database;
}

async function start(url: string): Promise<Service> {
  const service = await Service.start({ ...CALLBACKS, DATABASE_URL: url, DRAIN_SECONDS: '0' });
  services.push(service);
  return service;
}

/** A job that ends at once. @returns its id */
async function submit(service: Service, receiver: Receiver): Promise<string> {
  const body = { type: 'demo.sleep', tasks: [{}], callback_url: receiver.url };
  return (await service.json('POST', '/api/v2/jobs', body)).id;
}

/** A service with a callback under way: its receiver answers from the second request on. */
async function underWay() {
  const { url } = await testDatabase();
  const receiver = await Receiver.start((response, n) => {
    if (n > 1) response.writeHead(200).end();
  });
  receivers.push(receiver);
  const service = await start(url);
  const id = await submit(service, receiver);
  await waitFor(() => receiver.received.length === 1, { timeoutMs: 10_000 });
  return { url, receiver, service, id };
}

const delivered = (service: Service, id: string, attempts: number) =>
  waitFor(
    async () => {
      const { callback } = await service.json('GET', `/api/v2/jobs/${id}`);
      return callback.state === 'delivered' && callback.attempts === attempts;
    },
    { timeoutMs: 10_000, what: 'the callback to be delivered' },
  );

describe('a callback that is under way', () => {
  it('when its process is killed -9 is sent by another one, after the lease', async () => {
    const { url, receiver, service, id } = await underWay();
    await service.stop('SIGKILL');
    const [row] = await query(
      url,
      `SELECT extract(epoch FROM due_at - clock_timestamp()) > 10 AS later FROM job_callbacks`,
    );
    expect(row).toEqual({ later: true });
    await query(url, `UPDATE job_callbacks SET due_at = due_at - interval '30 seconds'`);
    await delivered(await start(url), id, 2);
    expect(receiver.received.map((one) => verified(one).data['id'])).toEqual([id, id]);
  });

  it('when its process is asked to end is cut off after the drain, and sent by another one at once', async () => {
    const { url, receiver, service, id } = await underWay();
    expect(await service.stop()).toBe(0);
    await delivered(await start(url), id, 2);
    expect(receiver.received).toHaveLength(2);
  });

  it('is not sent again because the database is away for a moment, which costs one line in the log', async () => {
    const { url } = await testDatabase();
    const way = new Way(new URL(url));
    await way.open();
    let answer: () => unknown = () => undefined;
    const receiver = await Receiver.start((response) => {
      answer = () => response.writeHead(200).end();
    });
    receivers.push(receiver);
    const service = await start(way.url);
    const id = await submit(service, receiver);
    await waitFor(() => receiver.received.length === 1, { timeoutMs: 10_000 });
    way.refuse();
    answer();
    const lines = (text: string) => service.output.split(text).length - 1;
    // It tries a few times in vain, which is told once.
    await waitFor(() => way.refused >= 20, { timeoutMs: 10_000, what: 'the database to be missed' });
    expect(lines('no callbacks are sent: the database is away')).toBe(1);
    await way.open();
    await delivered(service, id, 1);
    expect(receiver.received).toHaveLength(1);
    await service.stop('SIGKILL');
    await way.cut();
  });
});
