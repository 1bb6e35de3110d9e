import { memo } from 'preact/compat';
import { ProgressBar } from '../ui/progress-bar.js';
import { StatusBadge } from '../ui/status-badge.js';
import { count, percent, shortCount } from '../ui/numbers.js';
import { Ago, duration, secondsBetween } from '../ui/time.js';
import type { Job } from '../api/types.js';
import type { JobRow } from './job-list.js';

/** On a phone the rows are laid out as cards; their roles say that they are a table all the same. */
export function JobTable({ rows }: { rows: readonly JobRow[] }) {
  return (
    <table class="jobs" role="table" aria-label="Jobs, the newest first">
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">
            Job
          </th>
          <th role="columnheader" scope="col">
            Status
          </th>
          <th role="columnheader" scope="col">
            Progress
          </th>
          <th role="columnheader" scope="col">
            Time
          </th>
          <th role="columnheader" scope="col">
            Submitted
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <Row key={row.peek().id} row={row} />
        ))}
      </tbody>
    </table>
  );
}

/** Reads its own signal alone: it is rendered again when its job has changed, and at nothing else. */
const Row = memo(({ row }: { row: JobRow }) => {
  const job = row.value;
  const title = job.name ?? job.type;
  return (
    <tr role="row">
      <td role="cell" class="cell-job">
        <a class="job-link" href={`/jobs/${job.id}`}>
          {title}
        </a>
        <span class="job-sub">
          {job.name !== null && <span class="chip">{job.type}</span>}
          <code class="job-id">{job.id.slice(-8)}</code>
        </span>
      </td>
      <td role="cell" class="cell-status">
        <StatusBadge job={job} />
      </td>
      <td role="cell" class="cell-progress">
        <ProgressBar job={job} label={`Progress of ${title}`} />
        <span class="progress-text">
          <span>
            {count(job.progress)} <span class="muted">of {count(job.total)}</span>
          </span>
          {job.counts.failed > 0 && <span class="bad-text">{shortCount(job.counts.failed)} failed</span>}
          <span class="progress-percent">{percent(job.progress, job.total)}</span>
        </span>
      </td>
      <td role="cell" class="cell-time">
        {timeOf(job)}
      </td>
      <td role="cell" class="cell-who">
        <Ago at={job.created_at} />
        <span class="muted who-name">{job.created_by}</span>
      </td>
    </tr>
  );
});

/** How long it will take or has taken. */
function timeOf({ status, eta_seconds, started_at, finished_at, paused }: Job): string {
  if (status === 'working') return eta_seconds === null || paused ? '–' : `${duration(eta_seconds)} left`;
  return started_at !== null && finished_at !== null
    ? duration(secondsBetween(started_at, finished_at))
    : '–';
}
