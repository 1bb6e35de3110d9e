import type { FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';
import { invalid } from '../errors.js';
import { StreamedBody } from './streamed-body.js';

/** A request that says by which key it is to be recognised when it is repeated. */
export interface KeyedRequest {
  readonly key: string;
  /** SHA-256 of its method, path, query and inflated body; reads what is left of that. @throws as StreamedBody.bytes */
  readonly fingerprint: () => Promise<Buffer>;
}

const HEADER = 'Idempotency-Key';
const KEY = /^[\x20-\x7e]{1,255}$/;

const bodyHashes = new WeakMap<FastifyRequest, Buffer>();

/** Remembers what was in a buffered body, if anyone will ask. */
export function rememberBody(request: FastifyRequest, body: Buffer): void {
  if (request.headers[HEADER.toLowerCase()] !== undefined) bodyHashes.set(request, sha256(body));
}

/** @returns null when it has no key. @throws DomainError RecordInvalid */
export function keyedRequest(request: FastifyRequest): KeyedRequest | null {
  const key = request.headers[HEADER.toLowerCase()];
  if (key === undefined) return null;
  if (typeof key !== 'string' || !KEY.test(key))
    throw invalid([{ field: HEADER, description: 'expected 1 to 255 printable ASCII characters' }]);
  const fingerprint = async (): Promise<Buffer> => {
    const { body } = request;
    const hash =
      body instanceof StreamedBody ? await body.sha256() : (bodyHashes.get(request) ?? sha256(NOTHING));
    const [path = '', query = ''] = request.url.split(/\?(.*)/s, 2);
    const target = `${request.method} ${path.replace(/\/+$/, '')}?${query}\n`;
    return createHash('sha256').update(target).update(hash).digest();
  };
  return { key, fingerprint };
}

const NOTHING = Buffer.alloc(0);
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
