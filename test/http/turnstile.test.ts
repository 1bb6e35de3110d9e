import { beforeEach, describe, expect, test } from '@jest/globals';
import { Server, Socket } from 'node:net';
import { Turnstile } from '../../src/http/turnstile.js';

const clock = { ms: 0 };
let server: Server;
let turnstile: Turnstile;

beforeEach(() => {
  clock.ms = 0;
  server = new Server();
  turnstile = new Turnstile(server, 8, () => clock.ms);
});

/** The next turn of the event loop, after what was put into it before. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Sends so many through. @returns who came through so far, in their order, those that were late as negative numbers */
function send(requests: number, from = 1): number[] {
  const through: number[] = [];
  for (let n = from; n < from + requests; n += 1) turnstile.pass((isLate) => through.push(isLate ? -n : n));
  return through;
}

const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);

describe('a turnstile', () => {
  test('lets as many as it is told through a turn of the event loop, in their order, and never at once', async () => {
    const through = send(20);
    expect(through).toEqual([]);
    await turn();
    expect(through).toEqual(upTo(8));
    await turn();
    expect(through).toEqual(upTo(16));
    await turn();
    expect(through).toEqual(upTo(20));
  });

  test('lets nobody through in a turn that brought a connection, but after a second of such turns', async () => {
    const through = send(20);
    for (let n = 0; n < 5; n += 1) {
      server.emit('connection', new Socket());
      await turn();
    }
    expect(through).toEqual([]);
    clock.ms += 1_001;
    server.emit('connection', new Socket());
    await turn();
    expect(through).toEqual(upTo(8));
    server.emit('connection', new Socket());
    await turn();
    expect(through).toEqual(upTo(8));
    await turn();
    expect(through).toEqual(upTo(16));
  });

  test('tells who has waited for more than five seconds that it is late, and lets the others through', async () => {
    const first = send(3);
    clock.ms += 5_001;
    const second = send(2);
    await turn();
    expect(first).toEqual([-1, -2, -3]);
    expect(second).toEqual([1, 2]);
  });
});
