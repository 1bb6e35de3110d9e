import { signal } from '@preact/signals';
import { TallyError } from 'tally/client';
import type { User } from '../api/types.js';

/** Who is signed in: null nobody; undefined while that is being asked. */
export const user = signal<User | null | undefined>(undefined);

/** Whether somebody was signed in and no longer is, without having signed out. */
export const hasExpired = signal(false);

/** Asks the service whose cookie this is. @throws TallyError when it does not say */
export async function whoAmI(): Promise<void> {
  const response = await ask('GET');
  if (response.status !== 401 && !response.ok) throw await TallyError.of(response);
  if (response.ok) {
    user.value = await userOf(response);
    return;
  }
  sessionEnded();
  user.value = null;
}

/** @throws TallyError Unauthorized, TooManyRequests */
export async function signIn(email: string, password: string): Promise<void> {
  const response = await ask('POST', { email, password });
  if (!response.ok) throw await TallyError.of(response);
  hasExpired.value = false;
  user.value = await userOf(response);
}

export async function signOut(): Promise<void> {
  const response = await ask('DELETE');
  if (!response.ok && response.status !== 401) throw await TallyError.of(response);
  hasExpired.value = false;
  user.value = null;
}

/** Called at any answer that says so: the page goes to the sign-in form, and comes back from there. */
export function sessionEnded(): void {
  if (!user.value) return;
  hasExpired.value = true;
  user.value = null;
}

/** Whoever submitted a job may end it, and so may the account's admins; the service has the last word. */
export const mayControl = (job: { readonly created_by: string }): boolean =>
  user.value?.role === 'admin' || user.value?.email === job.created_by;

async function ask(method: string, body?: object): Promise<Response> {
  try {
    return await fetch('/session', {
      method,
      ...(body && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw TallyError.unreachable(error);
  }
}

const userOf = async (response: Response): Promise<User> => ((await response.json()) as { user: User }).user;
