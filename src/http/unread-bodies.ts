import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * Node leaves a connection whose request was answered before its body was read as it is: a client that writes all before it
 * reads would wait for ever; and to close it at once with bytes unread makes TCP take the answer back. So the rest is read and
 * thrown away for a while, and after that the connection is cut.
 */
export class UnreadBodies {
  readonly #closing = new WeakSet<IncomingMessage>();

  /** @param lingerMs so long the rest of a body is read, so that its sender gets to read the answer */
  constructor(private readonly lingerMs: number) {}

  /** Before the answer is sent: Node would close the connection as soon as it is. */
  keepOpen(request: IncomingMessage, response: ServerResponse): void {
    if (request.complete || !sendsBody(request)) return;
    if (response.getHeader('connection') === 'close' || !response.shouldKeepAlive) this.#closing.add(request);
    response.removeHeader('connection');
    response.shouldKeepAlive = true;
  }

  /** When the answer has been sent. */
  discard(request: IncomingMessage): void {
    const close = () => {
      if (this.#closing.has(request)) request.socket.end();
    };
    if (request.complete) close();
    else if (!request.destroyed) {
      const timer = setTimeout(() => request.socket.destroy(), this.lingerMs).unref();
      request.once('close', () => clearTimeout(timer));
      request.once('end', close);
      request.unpipe();
      request.removeAllListeners('readable');
      request.on('data', () => undefined);
      setImmediate(() => request.resume());
    }
  }
}

/** Whether its sender has announced a body that is not empty. */
export const sendsBody = ({ headers }: Pick<IncomingMessage, 'headers'>): boolean =>
  (headers['content-length'] ?? '0') + (headers['transfer-encoding'] ?? '') !== '0';
