import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A port that nobody listens on and that the system gives to nobody: a process that is down for a while would find one from
 * the system's own range taken by some outgoing connection.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    try {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      return port;
    } catch {
      // Taken: another one.
    } finally {
      server.close();
    }
  }
}
