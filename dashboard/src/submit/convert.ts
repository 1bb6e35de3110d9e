import { taskOf, type Mapping } from './cells.js';
import type { TaskShape } from './schema-fields.js';
import type { Source, SourceRow } from './source.js';

/** Rows between two breaths: the page stays alive while a big file is read. */
const BREATH_MS = 30;

/** @returns the task of a row, as a line of NDJSON without its end */
export function lineMaker(source: Source, mapping: Mapping, shape: TaskShape): (row: SourceRow) => string {
  if (source.columns === null) return ({ cells }) => cells[0] ?? '';
  const fields = new Map(shape.fields.map((field) => [field.name, field]));
  return ({ cells }) => JSON.stringify(taskOf(cells, mapping, fields));
}

/**
 * All tasks as NDJSON. The parts of a Blob are the browser's, which keeps them on disk when there are many, so that the memory
 * of the page stays small.
 */
export async function toNdjson(
  source: Source,
  lineOf: (row: SourceRow) => string,
  onFraction: (fraction: number) => void,
  signal: AbortSignal,
): Promise<Blob> {
  const parts: Blob[] = [];
  let breath = performance.now();
  for await (const rows of source.rows((bytes) => onFraction(bytes / source.bytes))) {
    signal.throwIfAborted();
    if (rows.length > 0) parts.push(new Blob([`${rows.map(lineOf).join('\n')}\n`]));
    if (performance.now() - breath > BREATH_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      breath = performance.now();
    }
  }
  return new Blob(parts, { type: 'application/x-ndjson' });
}

/** The rows at these positions, wherever in the file they are. */
export async function rowsAt(source: Source, positions: ReadonlySet<number>): Promise<readonly SourceRow[]> {
  const found: SourceRow[] = [];
  if (positions.size === 0) return found;
  for await (const rows of source.rows()) {
    found.push(...rows.filter(({ position }) => positions.has(position)));
    if (found.length === positions.size) break;
  }
  return found;
}

/** The first rows. */
export async function firstRows(source: Source, max: number): Promise<readonly SourceRow[]> {
  const found: SourceRow[] = [];
  for await (const rows of source.rows()) {
    found.push(...rows.slice(0, max - found.length));
    if (found.length >= max) break;
  }
  return found;
}
