import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { CONFIG, type Config } from '../config/config.js';

/** What a Host header may look like; anything else is not echoed into an answer. */
const AUTHORITY = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/** Where this service is reached: PUBLIC_URL, else what the request says. */
@Injectable()
export class Origin {
  constructor(@Inject(CONFIG) private readonly config: Pick<Config, 'PUBLIC_URL' | 'HOST' | 'PORT'>) {}

  /** Scheme and authority without a slash at the end: `http://localhost:3000`. */
  of(request: FastifyRequest): string {
    if (this.config.PUBLIC_URL) return this.config.PUBLIC_URL;
    const { host } = request;
    if (AUTHORITY.test(host)) return `${request.protocol}://${host}`;
    return `${request.protocol}://${this.config.HOST}:${request.socket.localPort ?? this.config.PORT}`;
  }

  /** The absolute URL that was asked for, with `.json` back in its place. */
  urlOf(request: FastifyRequest): URL {
    return new URL(this.of(request) + request.originalUrl);
  }
}
