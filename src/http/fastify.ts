import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { DomainError } from '../errors.js';

/** The HTTP edge: how bytes become requests. What the contract tolerates or refuses of every request stands here. */

const API_PATH = /^\/api\/v2\//;

/** Each path answers with and without `.json`: rewritten once, here, so that no route knows of it. */
export function rewriteUrl(request: Pick<IncomingMessage, 'url'>): string {
  const url = request.url ?? '/';
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  if (!API_PATH.test(path) || !path.endsWith('.json')) return url;
  return path.slice(0, -'.json'.length) + (query < 0 ? '' : url.slice(query));
}

/** @param maxBodyBytes of a JSON body */
export function fastifyAdapter(maxBodyBytes: number): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: maxBodyBytes,
    rewriteUrl,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 200 },
    // A client that opens a connection and says nothing does not keep it.
    requestTimeout: 120_000,
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
  });
  const instance = adapter.getInstance();
  instance.removeAllContentTypeParsers();
  instance.addContentTypeParser<Buffer>(
    /^application\/(?:[\w.-]+\+)?json(?:$|[\s;])/i,
    { parseAs: 'buffer', bodyLimit: maxBodyBytes },
    (request: FastifyRequest, body: Buffer, done) => {
      // Real clients send bodies with DELETE and a JSON content type without a body.
      if (body.length === 0 || request.method === 'DELETE') { done(null, undefined); return; }
      try {
        done(null, parseJson(body));
      } catch (error) {
        done(error as Error);
      }
    },
  );
  return adapter;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
/** Escapes that a value may have and Postgres cannot store; in the text they are rare, so the walk below is too. */
const SUSPICIOUS = /\\u(?:0000|d[89a-f])/i;

/**
 * @throws DomainError InvalidJSON: not UTF-8, not JSON, or a string in it has a NUL or half of a surrogate pair; the
 *   description says which and where
 */
export function parseJson(body: Buffer): unknown {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new DomainError('InvalidJSON', 'Expected the body to be JSON in UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DomainError('InvalidJSON', `Expected the body to be JSON: ${sentenceOf(error)}`);
  }
  const bad = SUSPICIOUS.test(text) ? pathOfUnstorable(value) : null;
  if (bad !== null)
    throw new DomainError('InvalidJSON', `${bad}: expected text without NUL characters and lone surrogates`);
  return value;
}

/** V8's own words, less the excerpt of the body that it may quote. */
const sentenceOf = (error: unknown): string =>
  error instanceof Error
    ? error.message.replace(/,? ?"[\s\S]*?" is not valid JSON$/, '').slice(0, 200)
    : 'malformed';

const isUnstorable = (text: string): boolean => text.includes('\0') || !text.isWellFormed();

/** The path of the first string or key that cannot be stored; with a stack of its own, for bodies nested deeply. */
function pathOfUnstorable(root: unknown): string | null {
  const stack: { at: string; value: unknown }[] = [{ at: 'body', value: root }];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { at, value } = next;
    if (typeof value === 'string' && isUnstorable(value)) return at;
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, child] of Object.entries(value)) {
      if (isUnstorable(key)) return `a key of ${at}`;
      if (typeof child === 'string' || (typeof child === 'object' && child !== null))
        stack.push({ at: at === 'body' ? key : `${at}.${key}`, value: child });
    }
  }
  return null;
}
