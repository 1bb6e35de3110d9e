import Papa from 'papaparse';
import { textOf, type Source, type SourceRow } from './source.js';

/** Rows of the head that tell how the columns are separated. */
const GUESS_ROWS = 20;

/** @throws Error what the text is not, in words for people */
export function openCsv(blob: Blob, head: string): Source {
  const { data, meta } = Papa.parse<string[]>(head.replace(/^\uFEFF/, ''), {
    preview: GUESS_ROWS,
    skipEmptyLines: 'greedy',
    delimitersToGuess: [',', ';', '\t', '|'],
  });
  const [columns] = data;
  if (!columns || columns.every((column) => column.trim() === ''))
    throw new Error('Expected a first line that names the columns');
  const dialect = { delimiter: meta.delimiter, newline: meta.linebreak as '\n' };
  return {
    format: 'CSV',
    columns: columns.map((column) => column.trim()),
    bytes: blob.size,
    rows: (onRead) => csvRows(blob, dialect, onRead),
  };
}

/**
 * Papa's own reading of files decodes piece by piece, and breaks a character that the end of a piece cuts in two. So the pieces
 * are decoded here, and what may be an unfinished row waits for the next one.
 */
async function* csvRows(
  blob: Blob,
  dialect: { delimiter: string; newline: '\n' },
  onRead?: (bytes: number) => void,
): AsyncGenerator<readonly SourceRow[]> {
  const numbered = new RowNumbers();
  let rest = '';
  for await (const text of textOf(blob, onRead)) {
    rest += text;
    const { data, cursor } = parse(rest, dialect, true);
    rest = rest.slice(cursor);
    yield numbered.of(data);
  }
  yield numbered.of(parse(rest, dialect, false).data);
}

function parse(text: string, dialect: object, isUnfinished: boolean): { data: string[][]; cursor: number } {
  const { data, meta } = new Papa.Parser(dialect).parse(text, 0, isUnfinished) as Papa.ParseResult<string[]>;
  return { data, cursor: meta.cursor };
}

class RowNumbers {
  #line = 1;
  /** The header is no task. */
  #position = -1;

  of(rows: readonly string[][]): SourceRow[] {
    return rows.flatMap((cells) => {
      const line = this.#line;
      this.#line += 1 + cells.reduce((sum, cell) => sum + (cell.match(/\n/g)?.length ?? 0), 0);
      if (cells.every((cell) => cell.trim() === '')) return [];
      const position = this.#position++;
      return position < 0 ? [] : [{ position, line, cells }];
    });
  }
}
