import { expect } from '@jest/globals';
import { PASSWORD, type Answer, type TestApp, type TestUser } from '../support/app.js';

export const SESSION = '/session';

export const signIn = (app: TestApp, user: TestUser, more: Record<string, string> = {}): Promise<Answer> =>
  app.post(SESSION, null, { email: user.email, password: PASSWORD }, more);

/** The cookie of an answer as a browser sends it back. */
export function cookieOf(answer: Answer): string {
  const [cookie = ''] = (answer.headers.get('set-cookie') ?? '').split(';');
  return cookie;
}

/** A cookie of a new session. */
export async function signedIn(app: TestApp, user: TestUser): Promise<string> {
  const answer = await signIn(app, user);
  expect(answer.status).toBe(200);
  return cookieOf(answer);
}
