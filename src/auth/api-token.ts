import { createHash, randomBytes } from 'node:crypto';

/** Lets people and secret scanners recognise a leaked token. */
const PREFIX = 'tally_';

/** @returns a new API token of 256 random bits, in 49 characters that need no quoting in a header or a shell */
export function generateToken(): string {
  return PREFIX + randomBytes(32).toString('base64url');
}

/** What is stored of a token. Nobody can try 2^256 of them, so a fast hash without salt is enough, and can be looked up. */
export function tokenHash(token: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(token).digest());
}
