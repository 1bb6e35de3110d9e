import type { JobFilter } from 'tally/client';
import type { Job } from '../api/types.js';

/** Which jobs are shown, as the page's own address says it: it can be kept, sent and gone back to. */
export interface JobQuery {
  readonly status: Job['status'] | '';
  readonly type: string;
  readonly name: string;
  readonly person: string;
  readonly after: string;
  readonly before: string;
}

export const STATES = ['working', 'completed', 'failed', 'killed'] as const;
export const NO_FILTER: JobQuery = { status: '', type: '', name: '', person: '', after: '', before: '' };

export function queryOf(query: Readonly<Record<string, string>>): JobQuery {
  const status = STATES.find((state) => state === query['status']) ?? '';
  const [type = '', name = '', person = '', after = '', before = ''] = [
    'type',
    'name',
    'person',
    'after',
    'before',
  ].map((key) => query[key] ?? '');
  return { status, type, name, person, after, before };
}

export function hrefOf(query: JobQuery): string {
  const given = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== '') as [string, string][],
  );
  return given.size === 0 ? '/' : `/?${given.toString()}`;
}

/** Another filter begins at the newest jobs again. */
export const refined = (query: JobQuery, change: Partial<JobQuery>): JobQuery => ({
  ...query,
  after: '',
  before: '',
  ...change,
});

export const isFiltered = ({ status, type, name, person }: JobQuery): boolean =>
  [status, type, name, person].some((value) => value !== '');

export const isFirstPage = ({ after, before }: JobQuery): boolean => after === '' && before === '';

/** As the service filters, for jobs that come over the live connection. */
export const matches = ({ status, type, name, person }: JobQuery, job: Job): boolean =>
  (status === '' || job.status === status) &&
  (type === '' || job.type === type) &&
  (name === '' || job.name === name) &&
  (person === '' || job.created_by === person.toLowerCase());

export const requestOf = (query: JobQuery, size: number): JobFilter => ({
  size,
  ...(query.status !== '' && { status: query.status }),
  ...(query.type !== '' && { type: query.type }),
  ...(query.name !== '' && { name: query.name }),
  ...(query.person !== '' && { createdBy: query.person }),
  ...(query.after !== '' && { after: query.after }),
  ...(query.before !== '' && { before: query.before }),
});
