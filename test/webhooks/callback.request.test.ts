import { afterEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { CallbackPost } from '../../src/webhooks/callback.request.js';
import { freePort } from '../support/service.js';
import { Receiver, status, type Answer } from './receiver.js';

const message = { headers: { 'content-type': 'application/json', 'webhook-id': 'msg_1' }, body: '{"a":"ü"}' };
const never = new AbortController().signal;
const post = new CallbackPost(true);

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

async function receiver(answer?: Answer): Promise<Receiver> {
  const started = await Receiver.start(answer);
  ends.push(() => started.stop());
  return started;
}

/** A server that does what it likes with a connection. @returns its port */
async function raw(speak: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    speak(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  ends.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

describe('a request', () => {
  test('is a POST of the message, as it is, on a connection of its own', async () => {
    const { url, received } = await receiver();
    expect(await post.send(url, message, never)).toEqual({ is: 'delivered' });
    expect(received).toEqual([
      expect.objectContaining({ method: 'POST', path: '/ended?by=tally', body: message.body }),
    ]);
    expect(received[0]!.headers).toMatchObject({ ...message.headers, connection: 'close' });
  });

  test('does not follow a redirect', async () => {
    const target = await receiver();
    const { url } = await receiver(status(307, { location: target.url }));
    expect(await post.send(url, message, never)).toMatchObject({
      is: 'failed',
      error: expect.stringContaining('307'),
    });
    expect(target.received).toEqual([]);
  });

  test('counts as received once the status is there, and reads little of a body without end', async () => {
    let sent = 0;
    const port = await raw((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n');
      const more = () => {
        while (!socket.destroyed && socket.write('x'.repeat(65_536))) sent += 65_536;
      };
      socket.on('drain', more);
      more();
    });
    expect(await post.send(`http://127.0.0.1:${port}/`, message, never)).toEqual({ is: 'delivered' });
    expect(sent).toBeLessThan(16 * 1024 * 1024);
  });

  test.each([
    ['says nothing', ''],
    ['does not come to an end with its headers', 'HTTP/1.1 200 OK\r\nX: '],
  ])('to a receiver that %s ends when its time is over', async (_, words) => {
    const port = await raw((socket) => socket.write(words));
    const outcome = await new CallbackPost(true, 50).send(`http://127.0.0.1:${port}/`, message, never);
    expect(outcome).toEqual({
      is: 'failed',
      error: 'the receiver did not answer within 0.05 s',
      isFinal: false,
    });
  });

  test('to a receiver whose body hangs is delivered, when its time is over', async () => {
    const port = await raw((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n'));
    const outcome = await new CallbackPost(true, 50).send(`http://127.0.0.1:${port}/`, message, never);
    expect(outcome).toEqual({ is: 'delivered' });
  });

  test('is cut off when this process must end', async () => {
    const cutOff = new AbortController();
    const port = await raw((socket) => socket.on('data', () => cutOff.abort()));
    expect(await post.send(`http://127.0.0.1:${port}/`, message, cutOff.signal)).toEqual({ is: 'cut-off' });
    expect(await post.send(`http://127.0.0.1:${port}/`, message, cutOff.signal)).toEqual({ is: 'cut-off' });
  });

  test.each([
    ['closes at once', '', 'the connection was cut'],
    ['speaks another language', '220 mail.example.com ESMTP\r\n', 'the answer was not HTTP'],
    [
      'changes the protocol',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      'the request failed',
    ],
  ])('to a receiver that %s says so', async (_, words, error) => {
    const port = await raw((socket) => socket.once('data', () => socket.end(words)));
    const outcome = await post.send(`http://127.0.0.1:${port}/`, message, never);
    expect(outcome).toEqual({ is: 'failed', error, isFinal: false });
  });

  test('to nobody says so', async () => {
    const outcome = await post.send(`http://127.0.0.1:${await freePort()}/`, message, never);
    expect(outcome).toEqual({ is: 'failed', error: 'the connection was refused', isFinal: false });
    expect(await post.send('http://nobody.invalid/', message, never)).toMatchObject({
      is: 'failed',
      error: expect.stringMatching(/^the host (was not found|could not be looked up)$/),
      isFinal: false,
    });
  });
});

describe('an address that is not public is refused before a connection is made', () => {
  const careful = new CallbackPost(false);
  const error = 'the address of the host is not public, which is not allowed';

  test.each([
    'http://127.0.0.1',
    'https://127.0.0.1',
    'http://2130706433',
    'http://0x7f.1',
    'http://[::1]',
    'http://[::ffff:127.0.0.1]',
    'http://0.0.0.0',
    'http://10.1.2.3',
    'http://172.16.0.1',
    'http://192.168.1.1',
    'http://100.64.0.1',
    'http://169.254.169.254/latest/meta-data/',
    'http://[fe80::1]',
    'http://[fd00::1]',
    'http://[64:ff9b::7f00:1]',
    'http://224.0.0.1',
    'http://255.255.255.255',
  ])('%s, for good', async (url) => {
    expect(await careful.send(url, message, never)).toEqual({ is: 'failed', error, isFinal: true });
  });

  test('also behind a name, which may stand for another one later', async () => {
    const { port, received } = await receiver();
    const url = `http://localhost:${port}/`;
    expect(await careful.send(url, message, never)).toEqual({ is: 'failed', error, isFinal: false });
    expect(received).toEqual([]);
  });
});
