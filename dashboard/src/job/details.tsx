import type { ComponentChildren } from 'preact';
import type { Job } from '../api/types.js';
import { CopyButton } from '../ui/copy-button.js';
import { count } from '../ui/numbers.js';
import { At, duration } from '../ui/time.js';

/** All that is known of the job beside its progress. */
export function JobDetails({ job }: { job: Job }) {
  const { callback, metadata } = job;
  return (
    <aside class="card details" aria-labelledby="details-title">
      <h2 id="details-title">Details</h2>
      <dl>
        <Detail name="Type">
          <span class="chip">{job.type}</span>
        </Detail>
        <Detail name="Id">
          <span class="with-button">
            <code class="wrap">{job.id}</code>
            <CopyButton text={job.id} label="Copy the id" />
          </span>
        </Detail>
        <Detail name="Submitted by">{job.created_by}</Detail>
        <Detail name="Submitted">
          <At at={job.created_at} />
        </Detail>
        <Time name="Begins" at={job.start_at} />
        <Time name="Began" at={job.started_at} />
        <Time name="Ended" at={job.finished_at} />
        <Time name="Deadline" at={job.deadline} />
        <Time name="Removed" at={job.expires_at} />
        <OtherJob name="Retries" id={job.retry_of} />
        <OtherJob name="Retried by" id={job.retried_by} />
        <Detail name="Priority">{job.priority}</Detail>
        <Detail name="Attempts a task">{count(job.max_attempts)}</Detail>
        <Detail name="Failures allowed">
          {job.max_failures === null ? 'any number' : count(job.max_failures)}
        </Detail>
        <Detail name="Time for a task">{duration(job.task_timeout)}</Detail>
        {job.callback_url !== null && (
          <Detail name="Callback">
            <span class="wrap">{job.callback_url}</span>
            {callback && <CallbackState callback={callback} />}
          </Detail>
        )}
      </dl>
      {metadata && (
        <>
          <h3>Metadata</h3>
          <pre class="json" tabIndex={0} aria-label="Metadata">
            {JSON.stringify(metadata, null, 2)}
          </pre>
        </>
      )}
    </aside>
  );
}

function Detail({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const Time = ({ name, at }: { name: string; at: string | null }) =>
  at === null ? null : (
    <Detail name={name}>
      <At at={at} />
    </Detail>
  );

const OtherJob = ({ name, id }: { name: string; id: string | null }) =>
  id === null ? null : (
    <Detail name={name}>
      <a href={`/jobs/${id}`}>
        <code>… {id.slice(-8)}</code>
      </a>
    </Detail>
  );

function CallbackState({ callback }: { callback: NonNullable<Job['callback']> }) {
  const { state, attempts, last_error } = callback;
  return (
    <span class="callback-state">
      {state}
      {attempts > 0 && `, ${count(attempts)} tried`}
      {last_error !== null && <span class="bad-text wrap"> {last_error}</span>}
    </span>
  );
}
