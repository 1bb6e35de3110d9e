import { signal } from '@preact/signals';
import type { Stats } from '../api/types.js';

/** One second of the account: what waits and runs, and how many tasks a second were processed. */
export interface Sample {
  /** Seconds since 1970. */
  readonly at: number;
  readonly waiting: number;
  readonly running: number;
  readonly processedPerSecond: number;
  readonly failedPerSecond: number;
}

/** Fifteen minutes of seconds: what the charts show at most. */
const SAMPLES_MAX = 900;

export const samples = signal<readonly Sample[]>([]);
export const lastStats = signal<Stats | null>(null);

/** Adds what the service says each second. Its counters only grow, so that a missed second is no missed task. */
export function record(stats: Stats): void {
  const before = lastStats.peek();
  lastStats.value = stats;
  if (before === null) return;
  const at = Date.parse(stats.at) / 1_000;
  const seconds = at - Date.parse(before.at) / 1_000;
  if (seconds <= 0) return;
  const sample: Sample = {
    at,
    waiting: stats.waiting,
    running: stats.running,
    processedPerSecond: Math.max(0, stats.processed - before.processed) / seconds,
    failedPerSecond: Math.max(0, stats.failed - before.failed) / seconds,
  };
  samples.value = [...samples.peek().slice(1 - SAMPLES_MAX), sample];
}

export function forget(): void {
  samples.value = [];
  lastStats.value = null;
}
