import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { TallyError } from 'tally/client';
import { sentenceOf } from '../api/sentence.js';
import { Logo } from '../ui/logo.js';
import { useTitle } from '../ui/title.js';
import { hasExpired, signIn, user } from './session.js';

/** Where to go after the sign-in: a path of this site only, wherever a link may come from. */
export const pathAfter = (next: string | undefined): string =>
  next?.startsWith('/') && !/^\/[/\\]|^\/sign-in/.test(next) ? next : '/';

function messageOf(error: unknown): string {
  if (!(error instanceof TallyError)) return sentenceOf(error);
  if (error.status === 401) return 'Wrong email or password';
  if (error.status === 429)
    return `Too many attempts. Try again in ${Math.ceil(error.retryAfterSeconds ?? 60)} seconds.`;
  return sentenceOf(error);
}

export function SignInPage() {
  useTitle('Sign in');
  const { query, route } = useLocation();
  const error = useSignal<string | null>(null);
  const isBusy = useSignal(false);
  const email = useRef<HTMLInputElement>(null);
  const password = useRef<HTMLInputElement>(null);
  const next = pathAfter(query['next']);
  const isSignedIn = Boolean(user.value);
  useEffect(() => {
    if (isSignedIn) route(next, true);
  }, [isSignedIn, next, route]);
  // With the page and not a frame later: who types at once loses nothing.
  useLayoutEffect(() => email.current?.focus(), []);

  const submit = async (event: Event) => {
    event.preventDefault();
    isBusy.value = true;
    error.value = null;
    try {
      await signIn(email.current?.value ?? '', password.current?.value ?? '');
    } catch (thrown) {
      error.value = messageOf(thrown);
      password.current?.select();
    } finally {
      isBusy.value = false;
    }
  };

  return (
    <main class="sign-in" id="main">
      <form
        class="card sign-in-card"
        onSubmit={(event) => void submit(event)}
        aria-labelledby="sign-in-title"
      >
        <Logo size={44} />
        <h1 id="sign-in-title">Sign in to Tally</h1>
        <p class="muted">
          {hasExpired.value
            ? 'Your session has ended. Sign in to go on.'
            : 'Every job, every task, as it happens.'}
        </p>
        <label class="field">
          <span>Email</span>
          <input ref={email} class="input" type="email" name="email" autocomplete="username" required />
        </label>
        <label class="field">
          <span>Password</span>
          <input
            ref={password}
            class="input"
            type="password"
            name="password"
            autocomplete="current-password"
            required
            aria-describedby={error.value ? 'sign-in-error' : undefined}
          />
        </label>
        <p id="sign-in-error" class="form-error" role="alert">
          {error.value}
        </p>
        <button class="button button-primary button-wide" type="submit" disabled={isBusy.value}>
          {isBusy.value ? 'Signing in …' : 'Sign in'}
        </button>
      </form>
    </main>
  );
}
