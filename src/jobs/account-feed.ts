import type { z } from 'zod';
import type { FeedWatcher } from './feed-watcher.js';
import { printJobId } from './job.js';
import { jobView } from './job-status.view.js';
import type { KeptJob } from './job.store.js';
import type { LiveHead } from './live-jobs.store.js';
import type { liveStats } from './job.answers.js';

/** So long a client that comes (again) is told of jobs that have ended: it may have missed the end. */
export const RECENT_SECONDS = 60;
/** Of these, the newest. */
const RECENT_MAX = 1_000;
/** A look reaches back at most RECENT_SECONDS; what has ended is known for longer, so that it is told and counted once. */
const KNOWN_MS = (RECENT_SECONDS + 30) * 1_000;

/** Tasks processed so far, since this process first looked at the account. */
export interface Processed {
  readonly processed: number;
  readonly failed: number;
}

interface Ended {
  readonly at: number;
  /** Null when nobody needs it any more. */
  row: KeptJob | null;
}

/** The live list of one account: what is known of its jobs, and who is to be told. It reads nothing itself. */
export class AccountFeed {
  readonly watchers = new Set<FeedWatcher>();
  /** Since when nobody watches, by performance.now(). */
  emptySince = 0;
  readonly #working = new Map<string, KeptJob>();
  /** The one that ended first comes first. */
  readonly #ended = new Map<string, Ended>();
  /** The newest jobs of the account, as far as they were looked at. */
  #newest: readonly string[] = [];
  #stale = new Set<string>();
  /** Those for whom the look that is under way is made. */
  #asking: readonly FeedWatcher[] = [];
  #running = 0;
  #processed: number;
  #failed: number;
  /** Whether it was looked at: what has been done before is not counted. */
  #isReady = false;

  constructor(
    readonly accountId: number,
    before: Processed,
  ) {
    this.#processed = before.processed;
    this.#failed = before.failed;
  }

  /** A look begins: those who come from now on may know something newer than what it will say. */
  begin(): void {
    this.#asking = [...this.watchers];
  }

  get counts(): Processed {
    return { processed: this.#processed, failed: this.#failed };
  }

  /** @returns ids of jobs that must be read anew, or are gone */
  changed(heads: readonly LiveHead[]): string[] {
    const changed = this.#stale;
    this.#stale = new Set();
    const seen = new Set<string>();
    for (const { id, version, status } of heads) {
      seen.add(id);
      if (status === 'working' ? this.#working.get(id)?.version !== version : !this.#ended.has(id))
        changed.add(id);
    }
    for (const id of this.#working.keys()) if (!seen.has(id)) changed.add(id);
    return [...changed];
  }

  /** @param rows what was read of the changed ones, by id; those that are missing are gone */
  take(changed: readonly string[], rows: ReadonlyMap<string, KeptJob>): void {
    for (const id of changed) {
      const row = rows.get(id);
      if (row) this.#takeRow(row);
      else if (this.#working.delete(id)) for (const watcher of this.watchers) watcher.gone(id);
    }
    this.#isReady = true;
    for (const watcher of this.#asking) watcher.ready();
    this.#forgetEnded();
  }

  /** @param running tasks by job; a claim changes no row of a job, so this is how it is noticed */
  takeRunning(running: ReadonlyMap<string, number>): void {
    this.#running = [...running.values()].reduce((sum, tasks) => sum + tasks, 0);
    for (const [id, row] of this.#working) if (row.running !== (running.get(id) ?? 0)) this.#stale.add(id);
  }

  /** Notices what was removed. @param ids of the newest jobs, the newest first. @param max of them that a look sees */
  takeNewest(ids: readonly string[], max: number): void {
    const there = new Set(ids);
    // Ids rise with time: what is older than the oldest of a full list has only moved out of sight.
    const oldest = ids.length < max ? '' : (ids.at(-1) ?? '');
    for (const id of this.#newest) {
      if (there.has(id) || id < oldest) continue;
      const known = this.#ended.get(id);
      if (known) known.row = null;
      for (const watcher of this.watchers) watcher.gone(id);
    }
    this.#newest = ids;
  }

  statsAreDue(): void {
    for (const watcher of this.watchers) watcher.areStatsDue = true;
  }

  wake(): void {
    for (const watcher of this.watchers) if (watcher.hasNews) watcher.wake();
  }

  /** What this watcher was not told yet, as events; empty when that is nothing. @param origin of the urls */
  tell(watcher: FeedWatcher, origin: string): string {
    if (!watcher.isReady) return '';
    const isSnapshot = watcher.isSnapshotDue;
    const removed = [...watcher.removed].map(printJobId);
    const jobs = isSnapshot ? this.#all() : [...watcher.due].flatMap((id) => this.#row(id) ?? []);
    const areStatsDue = watcher.areStatsDue;
    watcher.due.clear();
    watcher.removed.clear();
    watcher.isSnapshotDue = watcher.areStatsDue = false;
    let text = '';
    if (isSnapshot || jobs.length + removed.length > 0)
      text += event(
        'jobs',
        `{"jobs":[${jobs.map((row) => printed(row, origin)).join(',')}]` +
          `${removed.length > 0 ? `,"removed":${JSON.stringify(removed)}` : ''}${isSnapshot ? ',"snapshot":true' : ''}}`,
      );
    if (areStatsDue) text += event('stats', JSON.stringify(this.#stats()));
    return text;
  }

  #takeRow(row: KeptJob): void {
    const before = this.#working.get(row.id);
    if (this.#isReady && !this.#ended.has(row.id)) {
      this.#processed += row.progress - (before?.progress ?? 0);
      this.#failed += row.failed - (before?.failed ?? 0);
    }
    if (row.status === 'working') this.#working.set(row.id, row);
    else {
      this.#working.delete(row.id);
      this.#ended.set(row.id, { at: performance.now(), row });
    }
    for (const watcher of this.watchers) watcher.changed(row.id);
  }

  /** Nothing that somebody has yet to be told. */
  #forgetEnded(): void {
    let more = this.#ended.size - RECENT_MAX;
    const now = performance.now();
    for (const [id, ended] of this.#ended) {
      more -= 1;
      const age = now - ended.at;
      if (more < 0 && age < RECENT_SECONDS * 1_000) return;
      if ([...this.watchers].some((watcher) => watcher.due.has(id))) continue;
      ended.row = null;
      if (age > KNOWN_MS) this.#ended.delete(id);
    }
  }

  #row(id: string): KeptJob | null {
    return this.#working.get(id) ?? this.#ended.get(id)?.row ?? null;
  }

  #all(): KeptJob[] {
    const ended = [...this.#ended.values()].flatMap(({ row }) => row ?? []);
    return [...this.#working.values(), ...ended];
  }

  #stats(): z.output<typeof liveStats> {
    let left = 0;
    for (const { total, progress } of this.#working.values()) left += total - progress;
    return {
      at: new Date().toISOString(),
      waiting: Math.max(0, left - this.#running),
      running: this.#running,
      ...this.counts,
      working_jobs: this.#working.size,
    };
  }
}

/** JSON has no raw newline, so the data is one line. */
const event = (name: string, json: string): string => `event: ${name}\ndata: ${json}\n\n`;

/** Of each row, as it was printed for each origin: many pages cost one printing. */
const texts = new WeakMap<KeptJob, Map<string, string>>();

function printed(row: KeptJob, origin: string): string {
  const known = texts.get(row) ?? new Map<string, string>();
  texts.set(row, known);
  const text = known.get(origin) ?? JSON.stringify(jobView(row, origin));
  known.set(origin, text);
  return text;
}
