import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LineSplitter, LineTooLong } from '../../src/jobs/line-splitter.js';

const split = (pieces: readonly string[], maxBytes = 100): string[] => {
  const splitter = new LineSplitter(maxBytes);
  const found = pieces.flatMap((piece) => [...splitter.push(Buffer.from(piece))].map(String));
  return [...found, splitter.end().toString()];
};

test('lines are the same wherever the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', '\n', '\r\n', ' ') }), { maxLength: 20 }),
      (pieces) => {
        expect(split(pieces)).toEqual(pieces.join('').split(/\r?\n/));
      },
    ),
  );
});

test('a character may be cut in the middle', () => {
  const bytes = Buffer.from('"🐎"\n');
  const splitter = new LineSplitter(10);
  expect([...splitter.push(bytes.subarray(0, 3))]).toEqual([]);
  expect([...splitter.push(bytes.subarray(3))].map(String)).toEqual(['"🐎"']);
});

test('a line may be as long as the limit, whatever ends it', () => {
  expect(split(['1234567890\r\n', '12345', '67890\n1234567890'], 10)).toEqual([
    '1234567890',
    '1234567890',
    '1234567890',
  ]);
});

test.each([
  ['with its end', ['ok\n12345678901\n'], 2],
  ['with a CR that is no end', ['12345678901\r'], 1],
  ['before its end is there', ['ok\n', 'ok\n', '123456', '789012'], 3],
])('a line over the limit is refused %s, and named', (_, pieces, line) => {
  const complaint = (() => {
    try {
      split(pieces, 10);
    } catch (error) {
      return error;
    }
    return null;
  })();
  expect(complaint).toBeInstanceOf(LineTooLong);
  expect((complaint as LineTooLong).line).toBe(line);
});
