import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';

export const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;

/** What lets a service call receivers on this machine. */
export const CALLBACKS = { CALLBACK_SECRET: SECRET, CALLBACK_ALLOW_PRIVATE: 'true' };

export interface Received {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Answers one request; how many came before it, this one included, is `n`. */
export type Answer = (response: ServerResponse, n: number) => void;

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end();

/** A server on this machine that notes what it is sent. */
export class Receiver {
  readonly received: Received[] = [];
  readonly #server: Server;

  private constructor(answer: Answer) {
    this.#server = createServer((request, response) => {
      void text(request).then((body) => {
        const { method, url: path, headers } = request;
        this.received.push({ method, path, headers, body });
        answer(response, this.received.length);
      });
    });
  }

  /** @param port of before; without it a free one */
  static async start(answer: Answer = status(204), port = 0): Promise<Receiver> {
    const receiver = new Receiver(answer);
    receiver.#server.listen(port, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/ended?by=tally`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** What was sent, once its signature is found to be right. @throws when it is not */
export const verified = ({ body, headers }: Received, secret = SECRET) =>
  new Webhook(secret).verify(body, headers as Record<string, string>) as {
    readonly type: string;
    readonly timestamp: string;
    readonly data: Record<string, unknown>;
  };
