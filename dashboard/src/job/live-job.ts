import { signal } from '@preact/signals';
import { TallyError } from 'tally/client';
import { client } from '../api/client.js';
import { sentenceOf } from '../api/sentence.js';
import type { Job } from '../api/types.js';
import { follow } from '../live/live.js';

/** Over how long the rate is taken. */
const RATE_MS = 10_000;

interface Seen {
  readonly at: number;
  readonly progress: number;
}

/** One job, as it is now. */
export class LiveJob {
  readonly job = signal<Job | null>(null);
  readonly error = signal<string | null>(null);
  readonly isGone = signal(false);
  /** Tasks a second over the last seconds; null before there is something to compare with. */
  readonly rate = signal<number | null>(null);
  readonly #stopped = new AbortController();
  #seen: readonly Seen[] = [];

  constructor(readonly id: string) {}

  start(): () => void {
    const unfollow = follow({
      changed: ({ jobs, removed = [] }) => {
        const job = jobs.find(({ id }) => id === this.id);
        if (job) this.take(job);
        if (removed.includes(this.id)) this.isGone.value = true;
      },
      reconnected: () => void this.load(),
    });
    void this.load();
    return () => {
      unfollow();
      this.#stopped.abort();
    };
  }

  async load(): Promise<void> {
    try {
      this.take(await client.job(this.id, { signal: this.#stopped.signal }));
      this.error.value = null;
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      if (error instanceof TallyError && error.status === 404) this.isGone.value = true;
      else this.error.value = sentenceOf(error);
    }
  }

  /** An answer that was overtaken by the live connection changes nothing. */
  take(job: Job): void {
    const before = this.job.peek();
    if (
      before &&
      (before.progress > job.progress || (before.status !== 'working' && job.status === 'working'))
    )
      return;
    const now = Date.now();
    this.#seen = [...this.#seen.filter(({ at }) => at >= now - RATE_MS), { at: now, progress: job.progress }];
    const first = this.#seen[0];
    if (first && now - first.at > 500)
      this.rate.value = ((job.progress - first.progress) / (now - first.at)) * 1_000;
    this.job.value = job;
  }
}
