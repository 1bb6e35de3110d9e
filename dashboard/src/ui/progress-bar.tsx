import type { Job } from '../api/types.js';
import { count, percent } from './numbers.js';

/**
 * How far a job is: what succeeded, and behind it what failed. Both parts are as wide as the whole and scaled, which the
 * browser animates without laying the page out again.
 */
export function ProgressBar({ job, label }: { job: Job; label: string }) {
  const { progress, total, counts } = job;
  const failed = counts.failed / total;
  return (
    <div
      class="progress"
      data-status={job.paused && job.status === 'working' ? 'paused' : job.status}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={progress}
      aria-valuetext={`${count(progress)} of ${count(total)}, ${percent(progress, total)}${counts.failed > 0 ? `, ${count(counts.failed)} failed` : ''}`}
    >
      <div class="progress-part progress-failed" style={{ transform: `scaleX(${progress / total})` }} />
      <div
        class="progress-part progress-done"
        style={{ transform: `scaleX(${progress / total - failed})` }}
      />
    </div>
  );
}
