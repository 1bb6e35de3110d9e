import { useEffect, useMemo } from 'preact/hooks';
import { useRoute } from 'preact-iso';
import { ArrowLeft } from 'lucide';
import { Icon } from '../ui/icon.js';
import { StatusBadge } from '../ui/status-badge.js';
import { useTitle } from '../ui/title.js';
import type { Job } from '../api/types.js';
import { JobActions } from './actions.js';
import { JobDetails } from './details.js';
import { JobProgress } from './job-progress.js';
import { LiveJob } from './live-job.js';
import { Results } from './results.js';

export function JobPage() {
  const { params } = useRoute();
  const id = params['id'] ?? '';
  const live = useMemo(() => new LiveJob(id.replaceAll('-', '').toLowerCase()), [id]);
  useEffect(() => live.start(), [live]);
  const job = live.job.value;
  useTitle(job ? titleOf(job) : 'Job');
  if (live.isGone.value) return <Gone />;
  return (
    <>
      <p class="crumb">
        <a href="/">
          <Icon of={ArrowLeft} /> All jobs
        </a>
      </p>
      {live.error.value !== null && (
        <p class="notice notice-bad" role="alert">
          {live.error}
        </p>
      )}
      {job ? <Loaded live={live} job={job} /> : <h1 class="muted">Loading …</h1>}
    </>
  );
}

const titleOf = ({ name, type }: Job): string => name ?? type;

function Loaded({ live, job }: { live: LiveJob; job: Job }) {
  return (
    <>
      <div class="page-head job-head">
        <div class="job-title">
          <h1>{titleOf(job)}</h1>
          <span role="status">
            <StatusBadge job={job} />
          </span>
        </div>
        <JobActions live={live} job={job} />
      </div>
      <JobProgress live={live} job={job} />
      <div class="job-columns">
        <Results job={job} />
        <JobDetails job={job} />
      </div>
    </>
  );
}

/** Never there, removed, or another account's: the service does not say which. */
function Gone() {
  return (
    <div class="empty">
      <h1>There is no such job</h1>
      <p class="muted">It may have been deleted, or its time is over and it was removed.</p>
      <a class="button" href="/">
        All jobs
      </a>
    </div>
  );
}
