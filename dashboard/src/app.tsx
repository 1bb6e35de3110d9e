import { useEffect } from 'preact/hooks';
import { lazy, LocationProvider, Route, Router, useLocation } from 'preact-iso';
import { JobPage } from './job/job.page.js';
import { JobsPage } from './jobs/jobs.page.js';
import { connect } from './live/live.js';
import { NotFoundPage } from './not-found.page.js';
import { user, whoAmI } from './session/session.js';
import { SignInPage } from './session/sign-in.page.js';
import { Shell } from './shell.js';
import { ConfirmDialog } from './ui/dialog.js';
import { Toasts } from './ui/toast.js';
import { WorkersPage } from './workers/workers.page.js';

/** Reads files, which most visits do not need. */
const SubmitPage = lazy(() => import('./submit/submit.page.js').then(({ SubmitPage: page }) => page));

/** Seconds between two questions to a service that did not say who is signed in. */
const RETRY_MS = 3_000;

/** The paths that are pages; other links of this site, such as a download, are the browser's. */
const PAGES = /^\/($|[?#]|jobs\/|submit|workers|sign-in)/;

export function App() {
  return (
    <LocationProvider scope={PAGES}>
      <Gate />
      <ConfirmDialog />
      <Toasts />
    </LocationProvider>
  );
}

/** Whoever is not signed in goes to the sign-in form, and from there to where they were. */
function Gate() {
  const { path, url, route } = useLocation();
  const who = user.value;
  const isAtSignIn = path === '/sign-in';
  useEffect(askWhoIsSignedIn, []);
  useEffect(() => {
    if (who === null && !isAtSignIn) route(`/sign-in?next=${encodeURIComponent(url)}`, true);
  }, [who, isAtSignIn, url, route]);
  if (who === undefined) return <p class="boot muted">Connecting …</p>;
  if (isAtSignIn) return <SignInPage />;
  return who ? <SignedIn key={who.email} /> : null;
}

function SignedIn() {
  useEffect(connect, []);
  return (
    <Shell>
      <Router>
        <Route path="/" component={JobsPage} />
        <Route path="/jobs/:id" component={JobPage} />
        <Route path="/submit" component={SubmitPage} />
        <Route path="/workers" component={WorkersPage} />
        <Route default component={NotFoundPage} />
      </Router>
    </Shell>
  );
}

function askWhoIsSignedIn(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = () => {
    whoAmI().catch(() => (timer = setTimeout(ask, RETRY_MS)));
  };
  ask();
  return () => clearTimeout(timer);
}
