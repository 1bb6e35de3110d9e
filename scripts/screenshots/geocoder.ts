import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Of a hundred addresses, so many are unknown to it. */
const UNKNOWN = 4;

/** What examples/handlers/addresses.geocode.js asks: it takes its time, and does not know every place. */
export class Geocoder {
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Geocoder> {
    const server = createServer((request, response) => {
      const address = new URL(request.url ?? '/', 'http://localhost').searchParams.get('q') ?? '';
      const number = Array.from(address).reduce(
        (sum, one) => (sum * 31 + (one.codePointAt(0) ?? 0)) % 9_973,
        7,
      );
      void sleep(90 + (number % 80)).then(() => {
        response.statusCode = number % 100 < UNKNOWN ? 404 : 200;
        response.end(JSON.stringify({ lat: 48 + (number % 500) / 100, lon: 2 + (number % 900) / 100 }));
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Geocoder(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}/search`);
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}
