import { writeFile } from 'node:fs/promises';
import { whole, type Row } from './bench.js';

/** Draws the rows that have a bar: groups of horizontal bars, as SVG. */

const WIDTH = 760;
const NAME_WIDTH = 250;
const BAR_HEIGHT = 20;
const STEP = 28;
const BAR_MAX = WIDTH - NAME_WIDTH - 110;

type Bar = NonNullable<Row['bar']>;

const escaped = (text: string): string => text.replace(/[<>&]/g, (c) => `&#${c.charCodeAt(0)};`);

function drawBar(bar: Bar, largest: number, y: number): string {
  const width = Math.max(1, (bar.value / largest) * BAR_MAX);
  const color = bar.name.startsWith('Tally') ? '#2a6f97' : '#b8b8b8';
  return [
    `<text x="${NAME_WIDTH}" y="${y + 15}" text-anchor="end">${escaped(bar.name)}</text>`,
    `<rect x="${NAME_WIDTH + 8}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" fill="${color}"/>`,
    `<text x="${NAME_WIDTH + 14 + width}" y="${y + 15}">${whole(bar.value)}</text>`,
  ].join('\n');
}

export function draw(bars: readonly Bar[], caption: string): string {
  const parts: string[] = [];
  let y = 16;
  for (const group of new Set(bars.map((bar) => bar.group))) {
    const ofGroup = bars.filter((bar) => bar.group === group).sort((a, b) => b.value - a.value);
    const largest = Math.max(...ofGroup.map((bar) => bar.value));
    parts.push(`<text x="16" y="${y + 14}" font-weight="bold">${escaped(group)}</text>`);
    y += STEP;
    for (const bar of ofGroup) {
      parts.push(drawBar(bar, largest, y));
      y += STEP;
    }
    y += STEP / 2;
  }
  parts.push(`<text x="16" y="${y + 8}" font-size="11">${escaped(caption)}</text>`);
  const size = `width="${WIDTH}" height="${y + 24}" viewBox="0 0 ${WIDTH} ${y + 24}"`;
  const font = 'font-family="system-ui, sans-serif" font-size="13" fill="#222"';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font}>\n<rect width="100%" height="100%" fill="#fff"/>\n${parts.join('\n')}\n</svg>\n`;
}

export async function drawInto(path: string, rows: readonly Row[], caption: string): Promise<void> {
  const bars = rows.flatMap(({ bar }) => bar ?? []);
  if (bars.length > 0) await writeFile(path, draw(bars, caption));
}
