import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Strong entity tags and the precondition that asks with them (RFC 9110, sections 8.8.3 and 13.1.2). */

/** Characters of a hash in a tag: 96 bits. */
const HASH_CHARACTERS = 16;

/**
 * @param version of the thing; it alone does not tell two representations apart
 * @param representation whatever else the body is made of
 */
export function entityTag(version: number, ...representation: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of representation) hash.update(part).update('\0');
  return `"${version}-${hash.digest('base64url').slice(0, HASH_CHARACTERS)}"`;
}

/**
 * Whether the client has this already: the header is `*` or lists the tag, be it as a weak one.
 * @param header If-None-Match as it came
 */
export function isKnown(tag: string, header: string | undefined): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  // An opaque tag has no quotes in it, but may have commas.
  for (const [found] of header.matchAll(/"[^"]*"/g)) if (found === tag) return true;
  return false;
}

/** Of the type of an answer's body. */
export const JSON_UTF8 = 'application/json; charset=utf-8';

/** A store may keep it, and must ask every time: that is what the tag is for. */
const CACHE_CONTROL = 'private, no-cache';

/** The headers of a tagged answer, names and values in turn. */
export const tagHeaders = (etag: string): string[] => ['etag', etag, 'cache-control', CACHE_CONTROL];

/**
 * Tags an answer, and leaves its body out when the client has it.
 * @param body null: the client is known to have it
 * @returns what to send
 */
export function tagged(
  request: FastifyRequest,
  reply: FastifyReply,
  etag: string,
  body: string | Buffer | null,
) {
  void reply.header('ETag', etag).header('Cache-Control', CACHE_CONTROL);
  if (body === null || isKnown(etag, request.headers['if-none-match'])) {
    void reply.status(304);
    return undefined;
  }
  void reply.header('Content-Type', JSON_UTF8);
  return body;
}
