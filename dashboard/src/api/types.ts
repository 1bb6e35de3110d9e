import type { components } from 'tally/client';

/** What the dashboard reads beside the resources that `tally/client` has names for. */
export type { Job, PageMeta, TaskResult } from 'tally/client';

export type Worker = components['schemas']['Worker'];
/** A chunk of a job in a worker's hands. */
export type Lease = Worker['running'][number];
export type TaskType = components['schemas']['TaskType'];

/** JSON Schema, of which the form shows what it knows. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** What `GET /api/v2/jobs/events` sends as `jobs`: those that changed, at most four times a second. */
export type JobsChange = components['schemas']['LiveJobs'];
/** What `GET /api/v2/jobs/events` sends as `stats`, each second. */
export type Stats = components['schemas']['LiveStats'];

export interface User {
  readonly email: string;
  readonly role: 'admin' | 'agent';
  readonly account: string;
}
