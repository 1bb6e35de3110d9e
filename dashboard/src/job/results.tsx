import { useSignal } from '@preact/signals';
import { ChevronFirst, ChevronLeft, ChevronRight, Download } from 'lucide';
import { useEffect, useMemo } from 'preact/hooks';
import type { Job } from '../api/types.js';
import { Icon } from '../ui/icon.js';
import { count } from '../ui/numbers.js';
import { ResultPages } from './result-pages.js';
import { ResultRow } from './result-row.js';

export function Results({ job }: { job: Job }) {
  const pages = useMemo(() => new ResultPages(job.id), [job.id]);
  useEffect(() => pages.start(), [pages]);
  useEffect(() => pages.moved(job.status), [pages, job.progress, job.status]);
  return (
    <section class="card results" aria-labelledby="results-title">
      <div class="results-head">
        <h2 id="results-title">Results</h2>
        <div class="segments" role="group" aria-label="Which results">
          <button
            type="button"
            aria-pressed={!pages.onlyFailed.value}
            onClick={() => pages.showFailed(false)}
          >
            All {count(job.progress)}
          </button>
          <button type="button" aria-pressed={pages.onlyFailed.value} onClick={() => pages.showFailed(true)}>
            Failed {count(job.counts.failed)}
          </button>
        </div>
        <Downloads job={job} onlyFailed={pages.onlyFailed.value} />
      </div>
      {pages.error.value !== null && (
        <p class="notice notice-bad" role="alert">
          {pages.error}
        </p>
      )}
      <ResultTable pages={pages} job={job} />
      <ResultPager pages={pages} job={job} />
    </section>
  );
}

function Downloads({ job, onlyFailed }: { job: Job; onlyFailed: boolean }) {
  const which = onlyFailed ? '?filter[success]=false' : '';
  const what = onlyFailed ? 'failed' : 'all';
  return (
    <div class="downloads">
      {(['csv', 'ndjson'] as const).map((format) => (
        <a
          key={format}
          class="button button-quiet"
          href={`/api/v2/jobs/${job.id}/results.${format}${which}`}
          download
          aria-label={`Download ${what} results as ${format.toUpperCase()}`}
        >
          <Icon of={Download} /> {format.toUpperCase()}
        </a>
      ))}
    </div>
  );
}

function ResultTable({ pages, job }: { pages: ResultPages; job: Job }) {
  const rows = pages.rows.value;
  if (rows.length === 0) return <NoResults pages={pages} job={job} />;
  return (
    <div class="results-scroll">
      <table class="results-table" aria-busy={pages.isLoading.value}>
        <thead>
          <tr>
            <th scope="col">Task</th>
            <th scope="col">Outcome</th>
            <th scope="col" class="cell-number">
              Attempts
            </th>
            <th scope="col">{pages.areFailed.value ? 'What went wrong' : 'Result'}</th>
            <th scope="col">
              <span class="visually-hidden">More</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <ResultRow key={row.index} row={row} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NoResults({ pages, job }: { pages: ResultPages; job: Job }) {
  const isLoading = pages.isLoading.value && pages.meta.value === null;
  const text = pages.areFailed.value
    ? 'No task has failed.'
    : job.status === 'working'
      ? 'Results appear here as tasks are processed.'
      : 'No task of this job was processed.';
  return <p class="results-empty muted">{isLoading ? 'Loading …' : text}</p>;
}

function ResultPager({ pages, job }: { pages: ResultPages; job: Job }) {
  const meta = pages.meta.value;
  const rows = pages.rows.value;
  const [first, last] = [rows[0], rows.at(-1)];
  if (pages.isFirst && !meta?.has_more) return null;
  return (
    <nav class="pager" aria-label="Pages of results">
      <span class="pager-links">
        <button
          type="button"
          class="button"
          disabled={pages.isFirst}
          onClick={() => pages.first()}
          aria-label="First page"
        >
          <Icon of={ChevronFirst} />
        </button>
        <button type="button" class="button" disabled={pages.isFirst} onClick={() => pages.previous()}>
          <Icon of={ChevronLeft} /> Previous
        </button>
        <button type="button" class="button" disabled={!meta?.has_more} onClick={() => pages.next()}>
          Next <Icon of={ChevronRight} />
        </button>
      </span>
      <span class="muted pager-where">
        {first && last ? `Tasks ${count(first.index)} to ${count(last.index)} of ${count(job.total)}` : ''}
      </span>
      <GoTo pages={pages} total={job.total} />
    </nav>
  );
}

function GoTo({ pages, total }: { pages: ResultPages; total: number }) {
  const wanted = useSignal('');
  const go = (event: Event) => {
    event.preventDefault();
    if (wanted.value !== '') pages.goTo(Number(wanted.value));
  };
  return (
    <form class="go-to" onSubmit={go}>
      <label>
        <span>Go to task</span>
        <input
          class="input"
          type="number"
          min={0}
          max={total - 1}
          value={wanted.value}
          onInput={(event) => (wanted.value = event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button">
        Go
      </button>
    </form>
  );
}
