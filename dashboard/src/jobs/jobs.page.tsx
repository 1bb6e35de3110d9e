import { useEffect, useMemo } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { Plus } from 'lucide';
import { Charts } from '../charts/charts.js';
import { Icon } from '../ui/icon.js';
import { useTitle } from '../ui/title.js';
import { EmptyList } from './empty-list.js';
import { hrefOf, isFirstPage, queryOf, refined } from './filter.js';
import { FilterBar } from './filter-bar.js';
import { JobList } from './job-list.js';
import { JobTable } from './job-table.js';
import { Summary } from './summary.js';

/** All jobs of the account, as they move. */
export function JobsPage() {
  useTitle('Jobs');
  const { query: given } = useLocation();
  const query = useMemo(() => queryOf(given), [given]);
  const address = hrefOf(query);
  // eslint-disable-next-line react-hooks/exhaustive-deps -- the address says all that the query does
  const list = useMemo(() => new JobList(query), [address]);
  useEffect(() => list.start(), [list]);
  return (
    <>
      <div class="page-head">
        <h1>Jobs</h1>
        <a class="button button-primary" href="/submit">
          <Icon of={Plus} /> Submit a job
        </a>
      </div>
      <Summary />
      <Charts />
      <section class="card list-card" aria-label="All jobs">
        <FilterBar query={query} list={list} />
        {list.error.value !== null && (
          <p class="notice notice-bad" role="alert">
            {list.error}
          </p>
        )}
        <ListBody list={list} />
      </section>
    </>
  );
}

function ListBody({ list }: { list: JobList }) {
  const rows = list.rows.value;
  if (!list.isLoaded.value) return <Skeleton />;
  if (rows.length === 0 && list.error.value === null) return <EmptyList query={list.query} />;
  return (
    <>
      <JobTable rows={rows} />
      <Pager list={list} />
    </>
  );
}

function Pager({ list }: { list: JobList }) {
  const { query } = list;
  const meta = list.meta.value;
  const older = meta?.has_more ? meta.after_cursor : null;
  const isFirst = isFirstPage(query);
  if (isFirst && !older) return null;
  return (
    <nav class="pager" aria-label="Pages of jobs">
      {isFirst ? (
        <span />
      ) : (
        <span class="pager-links">
          <a class="button" href={hrefOf(refined(query, {}))}>
            Newest
          </a>
          {meta?.before_cursor && (
            <a class="button" href={hrefOf(refined(query, { before: meta.before_cursor }))}>
              Newer
            </a>
          )}
        </span>
      )}
      {older && (
        <a class="button" href={hrefOf(refined(query, { after: older }))}>
          Older
        </a>
      )}
    </nav>
  );
}

const SKELETON_ROWS = [0, 1, 2, 3, 4, 5];

function Skeleton() {
  return (
    <div class="skeleton" aria-busy="true" aria-label="Loading jobs">
      {SKELETON_ROWS.map((row) => (
        <div key={row} class="skeleton-row" />
      ))}
    </div>
  );
}
