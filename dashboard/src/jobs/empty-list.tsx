import { Inbox } from 'lucide';
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { taskTypes } from '../api/client.js';
import { user } from '../session/session.js';
import { CopyButton } from '../ui/copy-button.js';
import { Icon } from '../ui/icon.js';
import { hrefOf, isFiltered, isFirstPage, NO_FILTER, type JobQuery } from './filter.js';

export function EmptyList({ query }: { query: JobQuery }) {
  if (isFiltered(query) || !isFirstPage(query))
    return (
      <div class="empty">
        <Icon of={Inbox} size={32} />
        <h2>No job is like that</h2>
        <p class="muted">Nothing matches what is asked for above.</p>
        <a class="button" href={hrefOf(NO_FILTER)}>
          Show all jobs
        </a>
      </div>
    );
  return <FirstSteps />;
}

/** Of an account that has no jobs. */
function FirstSteps() {
  const hasDemo = useSignal(false);
  useEffect(() => {
    // Without an answer the example is of the reference domain, which is always there.
    taskTypes().then(
      (types) => (hasDemo.value = types.some(({ type }) => type === 'demo.sleep')),
      () => undefined,
    );
  }, [hasDemo]);
  const command = curlOf(hasDemo.value);
  return (
    <div class="empty">
      <Icon of={Inbox} size={32} />
      <h2>No jobs yet</h2>
      <p class="muted">
        <a href="/submit">Submit one here</a>, or from a terminal:
      </p>
      <div class="code-block">
        <pre tabIndex={0} aria-label="Command that submits a job">
          <code>{command}</code>
        </pre>
        <CopyButton text={command} label="Copy the command" />
      </div>
    </div>
  );
}

function curlOf(hasDemo: boolean): string {
  const body = hasDemo
    ? { type: 'demo.sleep', name: 'My first job', tasks: [{ ms: 500 }, { ms: 1500 }, { ms: 2500 }] }
    : {
        type: 'tickets.create',
        name: 'My first job',
        tasks: [{ title: 'Printer on fire', priority: 'urgent' }],
      };
  return [
    `curl -u ${user.value?.email ?? 'EMAIL'} ${location.origin}/api/v2/jobs.json \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '${JSON.stringify(body)}'`,
  ].join('\n');
}
