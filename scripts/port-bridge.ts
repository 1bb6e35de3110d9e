import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';

/**
 * Passes on what comes to this port at the machine's own IPv4 addresses to the same port at 127.0.0.1, for a program that
 * listens there alone: a container's published port ends at its outer address.
 * @returns the addresses
 */
export async function bridgePort(port: number): Promise<string[]> {
  const outer = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address);
  for (const address of outer) {
    const server = createServer((from) => {
      const to = connect(port, '127.0.0.1');
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const)
        one.on('error', () => other.destroy()).pipe(other);
    });
    server.unref().listen(port, address);
    await once(server, 'listening');
  }
  return outer;
}
