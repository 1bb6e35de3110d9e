/** What a request says about who is asking, before anyone has looked whether it is true. */
export type Presented =
  | { readonly kind: 'password'; readonly email: string; readonly password: string }
  /** `email` is null for a Bearer token, which stands for its user alone. */
  | { readonly kind: 'token'; readonly email: string | null; readonly token: string }
  /** What the cookie of a signed-in browser holds. */
  | { readonly kind: 'session'; readonly token: string };

/** No email address is longer (RFC 5321's path, less its angle brackets). */
export const EMAIL_CHARACTERS_MAX = 254;

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i;
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const TOKEN_SUFFIX = '/token';

// The challenge says charset="UTF-8" (RFC 7617): other bytes are refused, not guessed at. A byte-order mark is a character.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads `Basic base64(email:password)` and `Basic base64(email/token:API_TOKEN)`. Only the first colon divides: a password
 * may hold colons, also as its first character.
 * @returns null when the header is another scheme's or malformed
 */
export function readBasic(authorization: string): Presented | null {
  const encoded = BASIC.exec(authorization)?.[1];
  const pair = encoded === undefined ? null : decode(encoded);
  const colon = pair?.indexOf(':') ?? -1;
  if (pair === null || colon < 1 || colon === pair.length - 1) return null;
  // RFC 7617 forbids control characters in both; Postgres could not even look for a NUL.
  if (/\p{Cc}/u.test(pair)) return null;
  const name = pair.slice(0, colon).toLowerCase();
  const secret = pair.slice(colon + 1);
  const withToken = name.endsWith(TOKEN_SUFFIX);
  const email = withToken ? name.slice(0, -TOKEN_SUFFIX.length) : name;
  if (email === '' || email.length > EMAIL_CHARACTERS_MAX) return null;
  return withToken ? { kind: 'token', email, token: secret } : { kind: 'password', email, password: secret };
}

/**
 * Reads `Bearer API_TOKEN`.
 * @returns null when the header is another scheme's or malformed
 */
export function readBearer(authorization: string): Presented | null {
  const token = BEARER.exec(authorization)?.[1];
  return token === undefined ? null : { kind: 'token', email: null, token };
}

function decode(encoded: string): string | null {
  try {
    return utf8.decode(Buffer.from(encoded, 'base64'));
  } catch {
    return null;
  }
}
