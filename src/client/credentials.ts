/** A user's email and password, or an API token. */
export type Credentials = { readonly email: string; readonly password: string } | { readonly token: string };

/** The header that says who is calling; names and passwords may have any characters. */
export function authorizationOf(credentials: Credentials): string {
  if ('token' in credentials) return `Bearer ${credentials.token}`;
  const bytes = new TextEncoder().encode(`${credentials.email}:${credentials.password}`);
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))}`;
}
