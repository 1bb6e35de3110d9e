import { afterEach, beforeEach, expect, test } from '@jest/globals';
import Fastify, { type FastifyInstance } from 'fastify';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { Admission } from '../../src/http/admission.js';
import { sendError } from '../../src/http/error.filter.js';

let instance: FastifyInstance;
let url: string;

/** A server that has no place for anything that writes. */
beforeEach(async () => {
  instance = Fastify();
  new Admission({ MAX_PENDING_WRITES: 0, MAX_PENDING_BYTES: 1_000, MAX_UPLOADS: 0 }).guard(
    instance,
    () => false,
  );
  instance.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  instance.all('/', () => 'done');
  url = await instance.listen();
});
afterEach(() => instance.close());

/** Sends a request. @returns its answer, and how it looks from the server's side once it has arrived there */
async function send(init: RequestInit) {
  const arrived = once(instance.server, 'request');
  const answer = fetch(url, init);
  const [, reply] = (await arrived) as [unknown, ServerResponse];
  return { answer, reply };
}

async function turnsWithConnections(turns: number): Promise<void> {
  for (let n = 0; n < turns; n += 1) {
    instance.server.emit('connection', new Socket());
    await turn();
  }
}

test('a refusal waits for clients who want a connection, as does a request that is let in', async () => {
  const arriving = send({ method: 'POST', body: 'text' });
  instance.server.emit('connection', new Socket());
  const { answer, reply } = await arriving;
  await turnsWithConnections(50);
  expect(reply.headersSent).toBe(false);
  expect((await answer).status).toBe(503);
});

test('what reads waits for nobody, and what writes without a body is refused at once', async () => {
  for (const [method, status] of [
    ['GET', 200],
    ['POST', 503],
  ] as const) {
    const { answer, reply } = await send({ method });
    await turnsWithConnections(50);
    expect(reply.headersSent).toBe(true);
    expect((await answer).status).toBe(status);
  }
});
