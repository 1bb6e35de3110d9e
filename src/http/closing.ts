import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** How long a connection on which no request has come yet is kept when the server closes: one may be on its way. */
const UNUSED_MS = 500;

/** Tells those who hold an answer open that the server is about to close, which waits for every open answer. */
@Injectable()
export class Closing implements OnModuleInit {
  readonly #closing = new AbortController();

  constructor(private readonly host: HttpAdapterHost) {}

  /** Aborted when the server no longer takes connections and before it waits for the open ones. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  onModuleInit(): void {
    const instance = this.host.httpAdapter.getInstance<FastifyInstance>();
    instance.addHook('preClose', (done) => {
      this.#closing.abort();
      done();
    });
    this.#closeUnused(instance.server);
    // The server closes the connections that are idle when it begins to; one that becomes idle later would be waited for.
    instance.addHook('onResponse', (request, _, done) => {
      if (this.signal.aborted) request.raw.socket.end();
      done();
    });
  }

  /** To Node, a connection that a client has opened ahead of its need is not idle: it would be waited for, without end. */
  #closeUnused(server: Server): void {
    const unused = new Set<Socket>();
    server.on('connection', (socket) => {
      unused.add(socket);
      socket.once('close', () => unused.delete(socket));
    });
    server.on('request', ({ socket }) => unused.delete(socket));
    this.signal.addEventListener('abort', () => {
      setTimeout(() => {
        for (const socket of unused) socket.destroy();
      }, UNUSED_MS).unref();
    });
  }
}

/** Aborted when the client has gone, or has its whole answer. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
