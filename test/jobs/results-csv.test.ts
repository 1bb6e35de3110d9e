import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { csvLines } from '../../src/jobs/job-results.service.js';
import { parseCsv } from './results-support.js';

/** What a spreadsheet may take for the start of a formula. */
const FORMULA = /^[=+\-@\t\r]/;

const hostile = fc.oneof(
  fc.constantFrom(
    '=1+1',
    '+1',
    '-1',
    '@SUM(A1)',
    '\tx',
    '\rx',
    '"',
    '""',
    ',',
    '\r\n',
    '\n',
    "'",
    '=cmd|"/c calc"!A1',
  ),
  fc.string({ unit: 'grapheme' }),
);
const json = fc.oneof(fc.jsonValue(), hostile).map((value) => JSON.stringify(value));

const row = fc.record({
  index: fc.nat(),
  attempts: fc.integer({ min: 1, max: 25 }),
  success: fc.boolean(),
  error: fc.option(hostile),
  result: json,
  task: fc.option(json),
});

const cellsOf = (value: string | null | number | boolean): string => String(value ?? '');
const asCell = (text: string): string =>
  /^[=+\-@\t\r\uFF1D\uFF0B\uFF0D\uFF20]/.test(text) ? `'${text}` : text;

describe('a CSV export', () => {
  test('says what it was given to whoever reads RFC 4180, whatever that was', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), (rows) => {
        const read = parseCsv(csvLines(rows));
        expect(read).toEqual(
          rows.map(({ index, attempts, success, error, result, task }) =>
            [index, attempts, success, error, result, task].map((value) => asCell(cellsOf(value))),
          ),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('has no cell that a spreadsheet takes for a formula', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), (rows) => {
        for (const cell of parseCsv(csvLines(rows)).flat()) expect(cell).not.toMatch(FORMULA);
      }),
      { numRuns: 300 },
    );
  });

  test('leaves cells alone that are none', () => {
    const rows = [{ index: 0, attempts: 1, success: true, error: null, result: '{"a":"=1"}', task: null }];
    expect(csvLines(rows)).toBe('0,1,true,,"{""a"":""=1""}",\r\n');
  });
});
