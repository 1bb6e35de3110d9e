import { parse } from 'csv-parse';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { pipeline, type Readable } from 'node:stream';
import { parser } from 'stream-json';
import { streamArray } from 'stream-json/streamers/stream-array.js';
import { ndjson } from '../client/client.js';
import { messageOf } from '../errors.js';
import { UsageError } from './exit.js';

export const FORMATS = ['csv', 'json', 'ndjson'] as const;
export type TaskFormat = (typeof FORMATS)[number];

const BY_ENDING: Readonly<Record<string, TaskFormat>> = {
  '.csv': 'csv',
  '.json': 'json',
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
};

export interface ReadOptions {
  /** Default: as the file's name ends. */
  readonly format?: TaskFormat;
  /** Cells of a CSV stay strings. */
  readonly strings?: boolean;
}

export interface TaskSource {
  /** The body of a submission; read as it is sent, so that memory stays small. */
  readonly body: ReadableStream<Uint8Array>;
  /** What went wrong with the file while it was sent: then the service has only heard of a broken body. */
  problem(): UsageError | null;
}

/**
 * Reads tasks from a file, or from standard input.
 * @param path `-` is standard input
 * @throws UsageError
 */
export async function readTasks(path: string, { format, strings = false }: ReadOptions): Promise<TaskSource> {
  const kind = format ?? BY_ENDING[extname(path).toLowerCase()];
  if (!kind)
    throw new UsageError(
      `${path}: expected a name that ends in .csv, .json, .ndjson or .jsonl, or --format ${FORMATS.join('|')}`,
    );
  const bytes = path === '-' ? process.stdin : createReadStream(await readable(path));
  let problem: UsageError | null = null;
  async function* tasks() {
    try {
      yield* tasksOf(bytes, kind as TaskFormat, strings);
    } catch (error) {
      problem = new UsageError(`${path}: ${messageOf(error)}`);
      throw problem;
    }
  }
  return { body: ndjson(tasks()), problem: () => problem };
}

/** A missing file is a sentence before anything is sent. */
async function readable(path: string): Promise<string> {
  const found = await stat(path).catch((error: unknown) => {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  });
  if (found.isDirectory()) throw new UsageError(`${path}: expected a file, got a directory`);
  return path;
}

function tasksOf(bytes: Readable, kind: TaskFormat, strings: boolean): AsyncIterable<unknown> {
  if (kind === 'csv') return rowsOf(bytes, strings);
  return kind === 'json' ? elementsOf(bytes) : linesOf(bytes);
}

/** The elements of a JSON array. */
async function* elementsOf(bytes: Readable): AsyncGenerator {
  const elements = pipeline(bytes, parser.asStream(), streamArray.asStream(), () => undefined);
  for await (const { value } of elements as AsyncIterable<{ value: unknown }>) yield value;
}

async function* linesOf(bytes: Readable): AsyncGenerator {
  let number = 0;
  let rest = '';
  const read = (line: string): unknown => {
    number += 1;
    try {
      return JSON.parse(line) as unknown;
    } catch (error) {
      throw new Error(`line ${number}: expected a task as JSON: ${messageOf(error)}`, { cause: error });
    }
  };
  for await (const text of bytes.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() === '') number += 1;
      else yield read(line);
    }
  }
  if (rest.trim() !== '') yield read(rest);
}

/** Rows as objects, by the names in the first row. */
async function* rowsOf(bytes: Readable, strings: boolean): AsyncGenerator {
  const rows = pipeline(
    bytes,
    parse({
      bom: true,
      columns: namesOf,
      skip_empty_lines: true,
      cast: (cell, { quoting, header }) => (header || strings ? cell : valueOf(cell, quoting)),
    }),
    () => undefined,
  );
  for await (const row of rows as AsyncIterable<Record<string, unknown>>)
    yield Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined));
}

function namesOf(names: string[]): string[] {
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`expected each column once, got twice: ${twice}`);
  if (names.includes('')) throw new Error('expected a name for every column in the first row');
  return names;
}

/**
 * What an unquoted cell means: a number that is written as JSON would write it, true, false, an object or an array as JSON; an
 * empty one leaves its field out; anything else is text. So `007`, `1e3` and numbers too long to be exact stay text. A quoted
 * cell is always text but where it is JSON of an object or array, which CSV cannot hold without quotes.
 */
function valueOf(cell: string, isQuoted: boolean): unknown {
  if (/^\s*[[{]/.test(cell)) return jsonOr(cell);
  if (isQuoted) return cell;
  if (cell === '') return undefined;
  if (cell === 'true' || cell === 'false') return cell === 'true';
  return /^-?\d/.test(cell) && String(Number(cell)) === cell ? Number(cell) : cell;
}

function jsonOr(cell: string): unknown {
  try {
    return JSON.parse(cell) as unknown;
  } catch {
    return cell;
  }
}
