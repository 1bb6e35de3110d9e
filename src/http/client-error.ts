import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { DomainError } from '../errors.js';
import { errorBody } from './error.filter.js';

/** What Node's HTTP parser refuses never becomes a request; the answer is written to the connection, which then ends. */

const STATUS_OF: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

const DESCRIPTION_OF: Readonly<Record<number, string>> = {
  408: 'The request did not arrive in time',
  413: 'The chunk extensions of the request are too large',
  431: 'The URL and the headers of the request are too large',
};

export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  // What comes after a request that said it is the last: that one has its answer, or gets it, and then the connection ends.
  if (error.code === 'HPE_CLOSED_CONNECTION') return;
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = STATUS_OF[error.code ?? ''] ?? 400;
  const description = DESCRIPTION_OF[status] ?? 'Expected an HTTP request';
  const body = JSON.stringify(errorBody(new DomainError('InvalidRequest', description)));
  socket.write(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  socket.destroySoon();
}
