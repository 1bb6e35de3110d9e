import { batch, signal, type Signal } from '@preact/signals';
import { sentenceOf } from '../api/sentence.js';
import { client } from '../api/client.js';
import type { Job, JobsChange, PageMeta } from '../api/types.js';
import { follow } from '../live/live.js';
import { isFirstPage, matches, requestOf, type JobQuery } from './filter.js';

/** Rows of a page. */
const PAGE_SIZE = 50;
/** A page that lost rows, or has grown to twice its size, is read again, but not at each of them. */
const RELOAD_MS = 1_000;

export type JobRow = Signal<Job>;

/**
 * One page of the list, live: each row is a signal of its own, so that a change of one job renders one row again, however
 * many jobs there are.
 */
export class JobList {
  readonly rows = signal<readonly JobRow[]>([]);
  readonly meta = signal<PageMeta | null>(null);
  readonly error = signal<string | null>(null);
  readonly isLoaded = signal(false);
  readonly #byId = new Map<string, JobRow>();
  readonly #stopped = new AbortController();
  #reload: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly query: JobQuery) {}

  start(): () => void {
    const unfollow = follow({
      changed: (change) => this.#take(change),
      reconnected: () => void this.load(),
    });
    void this.load();
    return () => {
      unfollow();
      clearTimeout(this.#reload);
      this.#stopped.abort();
    };
  }

  async load(): Promise<void> {
    try {
      const { items, meta } = await client.jobs({
        ...requestOf(this.query, PAGE_SIZE),
        signal: this.#stopped.signal,
      });
      batch(() => {
        this.#show(items);
        this.meta.value = meta;
        this.error.value = null;
      });
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.error.value = sentenceOf(error);
    } finally {
      this.isLoaded.value = true;
    }
  }

  /** Rows that stay keep their signal, and with it their place in the document. */
  #show(jobs: readonly Job[]): void {
    const rows = jobs.map((job) => {
      const row = this.#byId.get(job.id);
      if (row) row.value = job;
      return row ?? signal(job);
    });
    this.#setRows(rows);
  }

  #take({ jobs, removed = [] }: JobsChange): void {
    const added: JobRow[] = [];
    const gone = new Set(removed.filter((id) => this.#byId.has(id)));
    for (const job of jobs) {
      const row = this.#byId.get(job.id);
      if (row) row.value = job;
      if (row && !matches(this.query, job)) gone.add(job.id);
      if (!row && this.#belongsOnTop(job)) added.push(signal(job));
    }
    if (added.length === 0 && gone.size === 0) return;
    const stay = this.rows.peek().filter((row) => !gone.has(row.peek().id));
    const rows = [...added, ...stay].sort((a, b) => (a.peek().id < b.peek().id ? 1 : -1));
    this.#setRows(rows);
    const isShort = gone.size > 0 && rows.length < PAGE_SIZE && this.meta.peek()?.has_more;
    if (isShort || rows.length > 2 * PAGE_SIZE) this.#reloadSoon();
  }

  /** Ids are UUIDv7: the newer job has the greater one. */
  #belongsOnTop(job: Job): boolean {
    const first = this.rows.peek()[0]?.peek();
    return (
      isFirstPage(this.query) &&
      this.isLoaded.peek() &&
      (!first || job.id > first.id) &&
      matches(this.query, job)
    );
  }

  #setRows(rows: readonly JobRow[]): void {
    this.#byId.clear();
    for (const row of rows) this.#byId.set(row.peek().id, row);
    this.rows.value = rows;
  }

  #reloadSoon(): void {
    this.#reload ??= setTimeout(() => {
      this.#reload = undefined;
      void this.load();
    }, RELOAD_MS);
  }
}
