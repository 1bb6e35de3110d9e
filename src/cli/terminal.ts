import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** What is asked for goes to standard output, all else to standard error. */
export const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Waits while the reader of a pipe is slower. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
}

export const printJson = (value: unknown): Promise<void> => print(JSON.stringify(value));

export async function printStream(stream: ReadableStream<Uint8Array>): Promise<void> {
  await pipeline(Readable.fromWeb(stream), process.stdout, { end: false });
}

/** Lines of columns as wide as what is in them, and no wider than the last needs. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Names and values of one thing, a line each. */
export function facts(pairs: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length)) + 1;
  return pairs.map(([name, value]) => `${`${name}:`.padEnd(width)} ${wordsOf(value)}`).join('\n');
}

const wordsOf = (value: unknown): string => {
  if (value === null || value === undefined) return '-';
  return typeof value === 'string' ? printable(value) : JSON.stringify(value);
};

/** Text of others may hold what a terminal takes for a command. */
// eslint-disable-next-line no-control-regex -- control characters are what it is about
export const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
