import { effect, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { samples, type Sample } from '../live/history.js';
import { theme } from '../ui/theme.js';

export interface Series {
  readonly name: string;
  /** A custom property of the style sheet. */
  readonly color: string;
  readonly of: (sample: Sample) => number;
}

interface ChartProps {
  readonly title: string;
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
}

const HEIGHT = 150;
/** Seconds that a chart shows at least, so that a page that has just opened has no chart of two points. */
const SPAN_MIN = 60;
const clockTime = new Intl.DateTimeFormat('en', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

/** A line for each series over the seconds that the page has seen, with the values under the pointer, or else the last. */
export function Chart({ title, series, format }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  /** Which sample is under the pointer. */
  const pointed = useSignal<number | null>(null);
  const themed = theme.value;
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const paint = () => makePlot(element, series, format, (at) => (pointed.value = at));
    let drawing = paint();
    const repaint = () => {
      drawing();
      drawing = paint();
    };
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', repaint);
    return () => {
      scheme.removeEventListener('change', repaint);
      drawing();
    };
  }, [series, format, pointed, themed]);

  const shown = samples.value.at(pointed.value ?? -1);
  return (
    <figure class="card chart">
      <figcaption class="chart-head">
        <h2>{title}</h2>
        <dl class="legend">
          {series.map(({ name, color, of }) => (
            <div key={name}>
              <dt>
                <span class="legend-mark" style={{ background: `var(${color})` }} />
                {name}
              </dt>
              <dd>{shown ? format(of(shown)) : '–'}</dd>
            </div>
          ))}
        </dl>
      </figcaption>
      <div
        ref={box}
        class="chart-box"
        role="img"
        aria-label={`${title} over the last minutes; the numbers above are its last values`}
      />
    </figure>
  );
}

/** @returns how to take it away */
function makePlot(
  element: HTMLElement,
  series: readonly Series[],
  format: (value: number) => string,
  onPoint: (at: number | null) => void,
): () => void {
  const colors = colorsIn(element);
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      padding: [8, 26, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { size: 7 },
        drag: { setScale: false, x: false, y: false },
        sync: { key: 'stats' },
      },
      scales: {
        x: { time: true, range: shownSeconds },
        y: { range: (_, __, max) => [0, Math.max(4, max * 1.1)] },
      },
      axes: [
        {
          stroke: colors('--muted'),
          grid: { show: false },
          ticks: { show: false },
          font: `11px ${getComputedStyle(element).fontFamily}`,
          size: 26,
          space: 80,
          values: (_, times) => times.map((time) => clockTime.format(time * 1_000)),
        },
        {
          stroke: colors('--muted'),
          grid: { stroke: colors('--border'), width: 1 },
          ticks: { show: false },
          font: `11px ${getComputedStyle(element).fontFamily}`,
          size: 44,
          space: 36,
          values: (_, values) => values.map(format),
        },
      ],
      series: [
        {},
        ...series.map(({ color }) => ({
          stroke: colors(color),
          fill: translucent(colors(color)),
          width: 2,
          points: { show: false },
        })),
      ],
      hooks: {
        setCursor: [
          ({ cursor: { idx, left } }) => onPoint(left !== undefined && left >= 0 ? (idx ?? null) : null),
        ],
      },
    },
    dataOf(series),
    element,
  );
  const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
  observer.observe(element);
  const stop = effect(() => plot.setData(dataOf(series)));
  return () => {
    stop();
    observer.disconnect();
    plot.destroy();
  };
}

/** From and to, as seconds since 1970. Not of what uPlot proposes: around a single sample that is two days. */
function shownSeconds(): [number, number] {
  const seen = samples.peek();
  const to = seen.at(-1)?.at ?? Date.now() / 1_000;
  return [Math.min(seen[0]?.at ?? to, to - SPAN_MIN), to];
}

const dataOf = (series: readonly Series[]): uPlot.AlignedData => {
  const seen = samples.value;
  return [seen.map(({ at }) => at), ...series.map(({ of }) => seen.map(of))];
};

/** The colours that custom properties stand for here and now: a canvas knows no variables, and none of them is plain text. */
function colorsIn(element: HTMLElement): (property: string) => string {
  return (property) => {
    const probe = element.appendChild(document.createElement('span'));
    probe.style.color = `var(${property})`;
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
}

const translucent = (color: string): string => `color-mix(in srgb, ${color} 14%, transparent)`;
