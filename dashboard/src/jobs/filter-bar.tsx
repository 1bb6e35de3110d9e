import { useComputed, useSignal } from '@preact/signals';
import { Search, X } from 'lucide';
import { useEffect } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { taskTypes } from '../api/client.js';
import { user } from '../session/session.js';
import { Icon } from '../ui/icon.js';
import { hrefOf, isFiltered, NO_FILTER, refined, STATES, type JobQuery } from './filter.js';
import type { JobList } from './job-list.js';

const STATE_NAMES: Readonly<Record<JobQuery['status'], string>> = {
  '': 'All',
  working: 'Working',
  completed: 'Completed',
  failed: 'Failed',
  killed: 'Killed',
};

export function FilterBar({ query, list }: { query: JobQuery; list: JobList }) {
  const { route } = useLocation();
  const change = (changed: Partial<JobQuery>) => route(hrefOf(refined(query, changed)), true);
  const types = useTypes(query, list);
  const people = useComputed(() =>
    sorted([user.value?.email ?? '', ...list.rows.value.map((row) => row.value.created_by)]),
  );
  return (
    <form class="filters" role="search" aria-label="Filter jobs" onSubmit={(event) => event.preventDefault()}>
      <div class="segments" role="group" aria-label="Status">
        {(['', ...STATES] as const).map((state) => (
          <button
            key={state}
            type="button"
            aria-pressed={query.status === state}
            onClick={() => change({ status: state })}
          >
            {STATE_NAMES[state]}
          </button>
        ))}
      </div>
      <select
        class="input"
        aria-label="Type"
        value={query.type}
        onChange={(event) => change({ type: event.currentTarget.value })}
      >
        <option value="">All types</option>
        {types.map((type) => (
          <option key={type} value={type}>
            {type}
          </option>
        ))}
      </select>
      <TextFilter label="Name" hint="Exact name" value={query.name} onChange={(name) => change({ name })} />
      <TextFilter
        label="Person"
        hint="Person’s email"
        value={query.person}
        choices={people.value}
        onChange={(person) => change({ person })}
      />
      {isFiltered(query) && (
        <a class="button button-quiet" href={hrefOf(NO_FILTER)}>
          <Icon of={X} /> Clear
        </a>
      )}
    </form>
  );
}

interface TextFilterProps {
  readonly label: string;
  readonly hint: string;
  readonly value: string;
  readonly choices?: readonly string[];
  readonly onChange: (value: string) => void;
}

/** Filters at Enter, at leaving the field, or when a suggestion is chosen: not at each letter of a name that must be whole. */
function TextFilter({ label, hint, value, choices, onChange }: TextFilterProps) {
  const list = choices && `choices-${label.toLowerCase()}`;
  return (
    <span class="input-with-icon">
      <Icon of={Search} size={15} />
      <input
        class="input"
        type="search"
        aria-label={label}
        placeholder={hint}
        value={value}
        list={list}
        onChange={(event) => onChange(event.currentTarget.value.trim())}
      />
      {choices && (
        <datalist id={list}>
          {choices.map((choice) => (
            <option key={choice} value={choice} />
          ))}
        </datalist>
      )}
    </span>
  );
}

/** The types that may be submitted now, and those that there are jobs of. */
function useTypes(query: JobQuery, list: JobList): readonly string[] {
  const known = useSignal<readonly string[]>([]);
  useEffect(() => {
    // Without them there are still those of the jobs below.
    taskTypes().then(
      (types) => (known.value = types.map(({ type }) => type)),
      () => undefined,
    );
  }, [known]);
  const shown = useComputed(() => sorted([...known.value, ...list.rows.value.map((row) => row.value.type)]));
  return sorted([...shown.value, query.type]);
}

const sorted = (values: readonly string[]): readonly string[] =>
  [...new Set(values.filter((value) => value !== ''))].sort();
