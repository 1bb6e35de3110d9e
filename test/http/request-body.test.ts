import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { parseConfig } from '../../src/config/config.js';
import { sendError } from '../../src/http/error.filter.js';
import { fastifyAdapter } from '../../src/http/fastify.js';
import { TAKES_STREAM } from '../../src/http/request-body.js';
import { StreamedBody } from '../../src/http/streamed-body.js';

const config = {
  ...parseConfig({}),
  MAX_BODY_BYTES: 1_000,
  MAX_UPLOAD_BYTES: 50_000_000,
  DRAIN_SECONDS: 0,
};
const BODY_MS = 300;

let server: FastifyInstance;
let port: number;
let sockets: Socket[];

/** A route for each way to treat a body; nothing of Tally but its edge. */
beforeEach(async () => {
  sockets = [];
  server = fastifyAdapter(config, { idleMs: BODY_MS, bodyMs: BODY_MS, lingerMs: 3_000 }).getInstance();
  server.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  server.post('/json', (request) => ({ got: request.body }));
  server.post('/refused', { config: TAKES_STREAM }, (_, reply) => reply.status(422).send('no'));
  server.post('/stream', { config: TAKES_STREAM }, async ({ body }) => {
    if (!(body instanceof StreamedBody)) return 'no stream';
    let bytes = 0;
    for await (const piece of body.bytes()) bytes += piece.length;
    return { bytes, sha256: (await body.sha256()).toString('hex') };
  });
  await server.listen({ port: 0, host: '127.0.0.1' });
  port = (server.server.address() as { port: number }).port;
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await server.close();
});

function request(path: string, type: string, ...headers: string[]): Promise<Socket> {
  return requestBy('POST', path, type, ...headers);
}

async function requestBy(method: string, path: string, type: string, ...headers: string[]): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  await once(socket, 'connect');
  socket.write(
    [`${method} ${path} HTTP/1.1`, 'Host: localhost', `Content-Type: ${type}`, ...headers, '', ''].join(
      '\r\n',
    ),
  );
  return socket;
}

const NDJSON = 'application/x-ndjson';

describe('a body that does not come', () => {
  test('is given up, when it is one of JSON', async () => {
    const socket = await request('/json', 'application/json', 'Content-Length: 10');
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 408 [\s\S]*did not arrive in time/);
  });

  test('is given up, when it is streamed and pauses for too long', async () => {
    const socket = await request('/stream', NDJSON, 'Content-Length: 10');
    socket.write('12345');
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 408 [\s\S]*"error":"RequestTimeout"/);
  });
});

test('a streamed body may take any time, as long as it moves', async () => {
  const total = 6;
  const socket = await request('/stream', NDJSON, `Content-Length: ${total}`, 'Connection: close');
  const answer = text(socket);
  const started = performance.now();
  for (let n = 0; n < total; n += 1) {
    socket.write('x');
    await new Promise((resolve) => setTimeout(resolve, BODY_MS / 3));
  }
  expect(performance.now() - started).toBeGreaterThan(BODY_MS * 1.5);
  expect(await answer).toContain(`{"bytes":${total},`);
});

test('a request that is refused before its body is read gets its answer, also one that writes all before it reads', async () => {
  for (const connection of ['close', 'keep-alive']) {
    const bytes = 10_000_000;
    const socket = await request('/refused', NDJSON, `Content-Length: ${bytes}`, `Connection: ${connection}`);
    socket.pause();
    await new Promise<void>((resolve) => socket.write(Buffer.alloc(bytes, '\n'), () => resolve()));
    if (connection === 'keep-alive')
      socket.write('GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 422 /);
    expect(answer.includes('HTTP/1.1 404')).toBe(connection === 'keep-alive');
  }
});

test.each([
  ['a body on DELETE', 'DELETE', '/json'],
  ['an endless path', 'DELETE', `/${'x'.repeat(3_000)}`],
  ['a URL that cannot be read', 'POST', '/%zz'],
])('who is answered while still writing may write on: %s', async (_, method, path) => {
  const socket = await requestBy(
    method,
    path,
    'application/json',
    'Transfer-Encoding: chunked',
    'Connection: close',
  );
  socket.write('3\r\n[1,\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(String(answer)).toMatch(/^HTTP\/1\.1 40[045] [\s\S]*x-request-id: /i);
  // Reset by the other side, were it closed already.
  for (let n = 0; n < 20; n += 1)
    await new Promise<void>((resolve, reject) =>
      socket.write('1\r\n1\r\n', (error) => (error ? reject(error) : setImmediate(resolve))),
    );
  socket.write('0\r\n\r\n');
  await once(socket, 'end');
});

test('a sender that never ends is cut off after a while', async () => {
  const socket = await request('/refused', NDJSON, 'Transfer-Encoding: chunked');
  // Not by `once`, which takes the reset for an error.
  const isCut = new Promise((resolve) => socket.once('close', resolve));
  const more = () => {
    if (!socket.destroyed) socket.write(`400\r\n${' '.repeat(1_024)}\r\n`, () => setImmediate(more));
  };
  socket.on('error', () => undefined);
  socket.resume();
  more();
  await isCut;
});

test('a streamed body is given up when the process stops and its time is over', async () => {
  const socket = await request('/stream', NDJSON, 'Content-Length: 10');
  socket.write('12345');
  const answer = text(socket);
  await server.close();
  expect(await answer).toMatch(/^HTTP\/1\.1 503 [\s\S]*"error":"Unavailable"/);
});
