import { liveJobs, liveStats } from '../../src/jobs/job.answers.js';
import { authorizationOf } from '../http/http-support.js';
import type { TestApp, TestUser } from '../support/app.js';
import { EventStream } from '../support/event-stream.js';
import { waitFor } from '../support/wait-for.js';

export interface LiveJob {
  readonly id: string;
  readonly status: string;
  readonly progress: number;
  readonly created_by: string;
  readonly counts: { readonly running: number };
}

export interface LiveStats {
  readonly at: string;
  readonly waiting: number;
  readonly running: number;
  readonly processed: number;
  readonly failed: number;
  readonly working_jobs: number;
}

export interface LiveEvent {
  readonly event: string;
  readonly data: { jobs?: LiveJob[]; removed?: string[]; snapshot?: true } & Partial<LiveStats>;
  readonly at: number;
}

/** A page that watches all jobs of an account. */
export class LivePage extends EventStream {
  readonly events: LiveEvent[] = [];
  /** What the page would show, by id. */
  readonly jobs = new Map<string, LiveJob>();
  #rest = '';

  constructor(app: TestApp, by: TestUser | Record<string, string>) {
    const headers = 'email' in by ? { authorization: authorizationOf(by as TestUser) } : by;
    super(`${app.origin}/api/v2/jobs/events`, headers, (part) => this.#read(part));
  }

  #read(part: string): void {
    const blocks = (this.#rest + part).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, event, json] = /^event: (\w+)\ndata: (.*)$/s.exec(block) ?? [];
      if (event === undefined || json === undefined) continue;
      // As it is documented, or the page breaks.
      const data = (event === 'jobs' ? liveJobs : liveStats).parse(JSON.parse(json)) as LiveEvent['data'];
      this.events.push({ event, data, at: performance.now() });
      for (const job of data.jobs ?? []) this.jobs.set(job.id, job);
      for (const id of data.removed ?? []) this.jobs.delete(id);
    }
  }

  of(event: string): LiveEvent[] {
    return this.events.filter((one) => one.event === event);
  }

  get stats(): LiveStats | undefined {
    return this.of('stats').at(-1)?.data as LiveStats | undefined;
  }

  /** Until the first list is there. */
  async ready(): Promise<this> {
    await waitFor(() => this.of('jobs').length > 0, { timeoutMs: 15_000, what: 'the first list' });
    return this;
  }

  shows(id: string, what: Partial<LiveJob>): Promise<unknown> {
    const matches = () => {
      const job = this.jobs.get(id);
      return job && Object.entries(what).every(([key, value]) => job[key as keyof LiveJob] === value);
    };
    return waitFor(matches, { timeoutMs: 15_000, what: `${id} to be shown as ${JSON.stringify(what)}` });
  }

  /** Until the server closes the stream. */
  end(): Promise<void> {
    return this.over();
  }
}
