import type { ComponentChildren } from 'preact';
import { lastStats, samples } from '../live/history.js';
import { count, rate, shortCount } from '../ui/numbers.js';

/** Seconds over which a rate is taken: one alone jumps. */
const RATE_SECONDS = 5;

/** The account at this moment. */
export function Summary() {
  const stats = lastStats.value;
  const recent = samples.value.slice(-RATE_SECONDS);
  const perSecond =
    recent.reduce((sum, { processedPerSecond }) => sum + processedPerSecond, 0) / Math.max(1, recent.length);
  const failed = samples.value.reduce((sum, { failedPerSecond }) => sum + failedPerSecond, 0);
  return (
    <dl class="summary" aria-label="At this moment">
      <Tile name="Working jobs" value={stats && count(stats.working_jobs)} />
      <Tile name="Tasks waiting" value={stats && shortCount(stats.waiting)} />
      <Tile name="Tasks running" value={stats && count(stats.running)} />
      <Tile name="Tasks a second" value={stats && rate(perSecond)} />
      <Tile name="Failed since opened" value={stats && shortCount(Math.round(failed))} isBad={failed >= 1} />
    </dl>
  );
}

function Tile({ name, value, isBad = false }: { name: string; value: ComponentChildren; isBad?: boolean }) {
  return (
    <div class="tile" data-bad={isBad || undefined}>
      <dt>{name}</dt>
      <dd>{value ?? '–'}</dd>
    </div>
  );
}
