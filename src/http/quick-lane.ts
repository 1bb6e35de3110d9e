import type { FastifyInstance } from 'fastify';
import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';

/** An answer that is there when it is asked for. */
export interface QuickAnswer {
  readonly status: 200 | 304;
  /** Names and values in turn; not those that every answer has. */
  readonly headers: readonly string[];
  /** With a Content-Length among the headers; null: there is none. */
  readonly body: Buffer | null;
}

/** @returns null: the ordinary way has to find out */
export type QuickAnswerer = (request: IncomingMessage) => QuickAnswer | null;

/** What is told of an answer before it is sent; the headers are all of them but Node's own. */
export interface GivenQuickly extends QuickAnswer {
  /** As its controller registers it. */
  readonly route: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/**
 * Answers reads of one route before Fastify sees them, where all that its hooks and Nest's guards would find is known already. A
 * poll of an ended job took 26 µs of a processor through them, 10 of which were Node's own; docs/performance.md has what is left.
 *
 * What is not plain takes the ordinary way, which gives the same answer: a request with a body, from a browser's page, with a
 * wish to wait; and all of them once the server closes or every request is logged.
 */
export class QuickLane {
  #route = '';
  #answerer: QuickAnswerer | null = null;
  #isClosed = false;
  readonly #listeners: ((given: GivenQuickly) => void)[] = [];

  /** A server with this before what answers all else: for Fastify's serverFactory. */
  server(ordinary: RequestListener): Server {
    return createServer((request, response) => {
      if (!this.#answered(request, response)) ordinary(request, response);
    });
  }

  static of(instance: FastifyInstance): QuickLane {
    return instance.getDecorator<QuickLane>(QUICK_LANE);
  }

  /** Lets GETs of this route be answered here. */
  serve(route: string, answerer: QuickAnswerer): void {
    this.#route = route;
    this.#answerer = answerer;
  }

  /** @param listener is told of each answer that is given here */
  onAnswer(listener: (given: GivenQuickly) => void): void {
    this.#listeners.push(listener);
  }

  /** From now on everything takes the ordinary way. */
  close(): void {
    this.#isClosed = true;
  }

  #answered(request: IncomingMessage, response: ServerResponse): boolean {
    if (this.#isClosed || request.method !== 'GET' || !this.#answerer) return false;
    if (!isPlain(request.headers)) return false;
    const answer = this.#answerer(request);
    if (!answer) return false;
    const { status, body } = answer;
    const headers = ['x-request-id', randomUUID(), ...answer.headers];
    for (const tell of this.#listeners)
      tell({ route: this.#route, request, response, status, headers, body });
    response.writeHead(status, headers);
    response.end(body ?? undefined);
    return true;
  }
}

export const QUICK_LANE = 'quickLane';

/** Nothing but a program that asks how it is now. */
const isPlain = (headers: IncomingHttpHeaders): boolean =>
  headers['origin'] === undefined &&
  headers['sec-fetch-site'] === undefined &&
  headers['prefer'] === undefined &&
  headers['content-length'] === undefined &&
  headers['transfer-encoding'] === undefined;
