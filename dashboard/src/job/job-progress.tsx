import type { ComponentChildren } from 'preact';
import type { Job } from '../api/types.js';
import { count, percent, rate } from '../ui/numbers.js';
import { ProgressBar } from '../ui/progress-bar.js';
import { duration, secondsBetween } from '../ui/time.js';
import type { LiveJob } from './live-job.js';

export function JobProgress({ live, job }: { live: LiveJob; job: Job }) {
  const { counts, total, progress, message } = job;
  return (
    <section class="card job-progress" aria-label="Progress">
      <div class="progress-head">
        <p class="progress-number">
          {percent(progress, total)}
          <span class="muted">
            {count(progress)} of {count(total)} tasks
          </span>
        </p>
        <dl class="facts">
          <Speed live={live} job={job} />
          <Fact name={job.status === 'working' ? 'Time left' : 'Took'}>{timeOf(job)}</Fact>
        </dl>
      </div>
      <ProgressBar job={job} label="Progress" />
      <dl class="counts">
        <Count name="Succeeded" mark="done" value={counts.succeeded} />
        <Count name="Failed" mark="failed" value={counts.failed} />
        <Count name="Retrying" mark="retrying" value={counts.retrying} />
        <Count name="Running" mark="running" value={counts.running} />
        <Count name="Pending" mark="pending" value={counts.pending} />
      </dl>
      {message !== null && <p class="job-message">{message}</p>}
    </section>
  );
}

function Speed({ live, job }: { live: LiveJob; job: Job }) {
  if (job.status !== 'working') {
    const { started_at, finished_at, progress } = job;
    const seconds = started_at !== null && finished_at !== null ? secondsBetween(started_at, finished_at) : 0;
    return <Fact name="On average">{seconds > 0 ? `${rate(progress / seconds)}/s` : '–'}</Fact>;
  }
  return (
    <Fact name="Rate">{live.rate.value === null || job.paused ? '–' : `${rate(live.rate.value)}/s`}</Fact>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Count({ name, mark, value }: { name: string; mark: string; value: number }) {
  return (
    <div data-zero={value === 0 || undefined}>
      <dt>
        <span class="count-mark" data-mark={mark} />
        {name}
      </dt>
      <dd>{count(value)}</dd>
    </div>
  );
}

function timeOf({ status, eta_seconds, started_at, finished_at, paused }: Job): string {
  if (status === 'working') return eta_seconds === null || paused ? '–' : duration(eta_seconds);
  return started_at !== null && finished_at !== null
    ? duration(secondsBetween(started_at, finished_at))
    : '–';
}
