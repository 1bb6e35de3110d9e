import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { freePort, Service } from '../support/service.js';
import { waitFor } from '../support/wait-for.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Twice what Node has a server listen with, unless it is told otherwise. */
const CLIENTS = 1_024;
/** What the kernel allows at most; other systems do not say. */
const ALLOWED = (() => {
  try {
    return Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));
  } catch {
    return 0;
  }
})();
const itWhereAllowed = ALLOWED > CLIENTS ? it : it.skip;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

describe('a process that answers the API', () => {
  itWhereAllowed(
    'has room for a thousand connections that come while it is busy',
    async () => {
      const service = await Service.start({ DATABASE_URL: database.url, ROLE: 'api' });
      const sockets: Socket[] = [];
      try {
        service.child.kill('SIGSTOP');
        const port = Number(new URL(service.origin).port);
        let connected = 0;
        for (let n = 0; n < CLIENTS; n += 1) {
          const socket = connect(port, '127.0.0.1', () => (connected += 1));
          socket.on('error', () => undefined);
          sockets.push(socket);
        }
        await waitFor(() => connected === CLIENTS, {
          timeoutMs: 10_000,
          what: 'all connections to be there',
        });
        service.child.kill('SIGCONT');
        expect((await fetch(`${service.origin}/healthz`)).status).toBe(200);
      } finally {
        for (const socket of sockets) socket.destroy();
        service.child.kill('SIGCONT');
        await service.stop('SIGKILL');
      }
    },
    60_000,
  );
});

describe('npm start', () => {
  it('passes SIGTERM on to the service, which drains and leaves nothing behind', async () => {
    const port = await freePort();
    const env = { ...process.env, NODE_OPTIONS: '', DATABASE_URL: database.url, PORT: String(port) };
    // Without its prestart, which builds.
    const npm = spawn('npm', ['start', '--ignore-scripts'], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (text) => (output += String(text)));
    try {
      await waitFor(() => output.includes('Tally answers at'), { timeoutMs: 30_000, what: 'the service' });
      const ended = once(npm, 'exit') as Promise<[number | null]>;
      npm.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
      expect(output).toContain('SIGTERM: stopping');
      await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
    } finally {
      // Whatever is left of its group, where it did not.
      try {
        process.kill(-npm.pid!, 'SIGKILL');
      } catch {
        // Nothing is.
      }
    }
  }, 60_000);
});
