/** One task of what was pasted or dropped. */
export interface SourceRow {
  /** Of the task in the job, from 0. */
  readonly position: number;
  /** In the text, from 1: what an editor calls it; of JSON, the number of the task. */
  readonly line: number;
  /** Of CSV its cells; else the task as one text. */
  readonly cells: readonly string[];
}

/** Tasks in a format, read in pieces: a file of a million rows is never in memory as a whole. */
export interface Source {
  readonly format: Format;
  /** Of CSV its header, else null. */
  readonly columns: readonly string[] | null;
  readonly bytes: number;
  /** @throws Error what the text is not, in words for people */
  rows(onRead?: (bytes: number) => void): AsyncGenerator<readonly SourceRow[]>;
}

export type Format = 'CSV' | 'NDJSON' | 'JSON';

/** Bytes that tell the format, and the header of a CSV file. */
const HEAD_BYTES = 65_536;
/** A JSON array can only be read as a whole. */
const JSON_BYTES_MAX = 64 * 1024 * 1024;

/** @throws Error what the text is not, in words for people */
export async function openSource(blob: Blob, name: string | null): Promise<Source> {
  const head = await blob.slice(0, HEAD_BYTES).text();
  const format = formatOf(head, name);
  if (format === 'JSON') return openJson(blob);
  if (format === 'NDJSON')
    return { format, columns: null, bytes: blob.size, rows: (onRead) => ndjsonRows(blob, onRead) };
  const { openCsv } = await import('./csv.js');
  return openCsv(blob, head);
}

function formatOf(head: string, name: string | null): Format {
  if (/\.(csv|tsv)$/i.test(name ?? '')) return 'CSV';
  if (/\.(ndjson|jsonl)$/i.test(name ?? '')) return 'NDJSON';
  const text = head.replace(/^\uFEFF/, '').trimStart();
  if (text.startsWith('[')) return 'JSON';
  if (!text.startsWith('{')) return 'CSV';
  const [first = ''] = text.split('\n', 1);
  return isJson(first) ? 'NDJSON' : 'JSON';
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function openJson(blob: Blob): Promise<Source> {
  if (blob.size > JSON_BYTES_MAX)
    throw new Error('A JSON file of this size cannot be read here: save it as NDJSON, a task a line');
  const tasks = tasksIn(await blob.text());
  const rows = tasks.map((task, position) => ({
    position,
    line: position + 1,
    cells: [JSON.stringify(task)],
  }));
  return {
    format: 'JSON',
    columns: null,
    bytes: blob.size,
    // eslint-disable-next-line @typescript-eslint/require-await -- the others wait for the file
    async *rows() {
      yield rows;
    },
  };
}

function tasksIn(text: string): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${(error as Error).message}`, { cause: error });
  }
  const tasks = Array.isArray(value) ? value : (value as { tasks?: unknown } | null)?.tasks;
  if (!Array.isArray(tasks))
    throw new Error('Expected an array of tasks, or an object with an array called tasks');
  return tasks as unknown[];
}

async function* ndjsonRows(
  blob: Blob,
  onRead?: (bytes: number) => void,
): AsyncGenerator<readonly SourceRow[]> {
  let [rest, line, position] = ['', 0, 0];
  for await (const text of textOf(blob, onRead)) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    yield lines.flatMap((one) => read(one));
  }
  yield read(rest);

  function read(text: string): SourceRow[] {
    line += 1;
    const task = text.trim();
    if (task === '') return [];
    return [{ position: position++, line, cells: [task] }];
  }
}

/** Browsers hand a file out in pieces of up to 2 MiB, whose rows would keep the page busy for a sixth of a second. */
const PIECE_BYTES = 128 * 1024;

/** Decodes as it reads, whatever character the end of a piece cuts in two. A byte order mark is not part of the text. */
export async function* textOf(blob: Blob, onRead?: (bytes: number) => void): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = blob.stream().getReader();
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (let from = 0; from < value.byteLength; from += PIECE_BYTES) {
        const piece = value.subarray(from, from + PIECE_BYTES);
        bytes += piece.byteLength;
        yield decoder.decode(piece, { stream: true });
        onRead?.(bytes);
      }
    }
    yield decoder.decode();
  } finally {
    await reader.cancel();
  }
}
