import { parseCookie, stringifySetCookie } from 'cookie';

/** The cookie by which a browser that has signed in is known. */

export const SESSION_COOKIE = 'tally_session';

/** 256 bits as base64url. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** @returns null where there is none, or one that is no session of this service */
export function readSessionCookie(header: string | undefined): string | null {
  const value = header === undefined ? undefined : parseCookie(header)[SESSION_COOKIE];
  return value !== undefined && TOKEN.test(value) ? value : null;
}

/**
 * The Set-Cookie that a browser shows to no script, and sends with no request that another site made it make.
 * @param token empty: the browser forgets what it has
 * @param isSecure whether the service is reached by https
 */
export const sessionSetCookie = (token: string, maxAgeSeconds: number, isSecure: boolean): string =>
  stringifySetCookie(SESSION_COOKIE, token, {
    maxAge: maxAgeSeconds,
    path: '/',
    httpOnly: true,
    sameSite: 'strict',
    secure: isSecure,
  });
