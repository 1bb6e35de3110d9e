import { rate, shortCount } from '../ui/numbers.js';
import { Chart, type Series } from './chart.js';

const THROUGHPUT: readonly Series[] = [
  { name: 'Processed', color: '--fill-working', of: ({ processedPerSecond }) => processedPerSecond },
  { name: 'Failed', color: '--fill-bad', of: ({ failedPerSecond }) => failedPerSecond },
];
const DEPTH: readonly Series[] = [
  { name: 'Waiting', color: '--fill-waiting', of: ({ waiting }) => waiting },
  { name: 'Running', color: '--fill-ok', of: ({ running }) => running },
];

const perSecond = (value: number): string => `${rate(value)}/s`;

export function Charts() {
  return (
    <section class="charts" aria-label="The last minutes">
      <Chart title="Throughput" series={THROUGHPUT} format={perSecond} />
      <Chart title="Queue depth" series={DEPTH} format={shortCount} />
    </section>
  );
}
