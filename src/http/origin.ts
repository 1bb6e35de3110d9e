import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { isIPv6 } from 'node:net';
import { CONFIG, type Config } from '../config/config.js';

/** What a Host header may look like; anything else is not echoed into an answer. */
const AUTHORITY = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/** What a request says of where it came in. */
export type Reached = Pick<FastifyRequest, 'protocol' | 'host' | 'socket'>;

/** Where this service is reached: PUBLIC_URL, else what the request says. */
@Injectable()
export class Origin {
  /** The name that was asked by last, and that it may be echoed: nearly always the same, and a URL takes a microsecond to parse. */
  #last: string | null = null;

  constructor(@Inject(CONFIG) private readonly config: Pick<Config, 'PUBLIC_URL' | 'HOST' | 'PORT'>) {}

  /** Scheme and authority without a slash at the end: `http://localhost:3000`. */
  of(request: Reached): string {
    if (this.config.PUBLIC_URL) return this.config.PUBLIC_URL;
    const asked = `${request.protocol}://${request.host}`;
    if (asked === this.#last) return asked;
    if (AUTHORITY.test(request.host) && URL.canParse(asked)) {
      this.#last = asked;
      return asked;
    }
    const { HOST, PORT } = this.config;
    const host = isIPv6(HOST) ? `[${HOST}]` : HOST;
    return `${request.protocol}://${host}:${request.socket.localPort ?? PORT}`;
  }

  /** The absolute URL that was asked for, with `.json` back in its place. */
  urlOf(request: FastifyRequest): URL {
    return new URL(this.of(request) + originForm(request.originalUrl));
  }
}

/** A request line may carry a whole URL (RFC 9112, section 3.2.2); its path and query are what counts here. */
export function originForm(url: string): string {
  const path = url.replace(/^https?:\/\/[^/?#]*/i, '');
  return path.startsWith('/') ? path : `/${path}`;
}
