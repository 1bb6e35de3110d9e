import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_BODY_DEPTH, parseJson } from '../../src/http/json-body.js';

const parse = (text: string): unknown => parseJson(Buffer.from(text));

function complaintOf(body: string | Buffer): string {
  try {
    parseJson(Buffer.from(body));
  } catch (error) {
    expect(error).toMatchObject({ word: 'InvalidJSON' });
    return (error as Error).message;
  }
  return 'none';
}

const isStorable = (value: unknown): boolean => {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0');
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, child]) => isStorable(key) && isStorable(child));
};

const nested = (levels: number, inner = ''): string => '['.repeat(levels) + inner + ']'.repeat(levels);

describe('a JSON body', () => {
  test('is read as JSON.parse reads it, or refused for what cannot be stored', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\0', '\ud83d', '\udc0e', '🐎', '\\u0000', '\\', '\\\\ud800', '"'),
    );
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        text,
        fc.integer(),
        fc.constantFrom(null, true),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(text, tie('value'), { maxKeys: 4 }),
      ),
    })).value;
    fc.assert(
      fc.property(json, (value) => {
        const printed = JSON.stringify(value);
        if (isStorable(value)) expect(parse(printed)).toEqual(JSON.parse(printed));
        else expect(complaintOf(printed)).toMatch(/expected text without NUL characters and lone surrogates/);
      }),
      { numRuns: 200 },
    );
  });

  test('may begin with a byte-order mark', () => expect(parse('\ufeff{"a":1}')).toEqual({ a: 1 }));

  test('keeps the last of two members with one name', () => expect(parse('{"a":1,"a":2}')).toEqual({ a: 2 }));

  test('may nest to the limit, and no further', () => {
    expect(parse(nested(MAX_BODY_DEPTH))).toBeDefined();
    expect(complaintOf(nested(MAX_BODY_DEPTH + 1))).toMatch(/at most 200 levels/);
    expect(complaintOf('{"a":'.repeat(100_000))).toMatch(/at most 200 levels/);
    expect(complaintOf('['.repeat(20_000_000))).toMatch(/at most 200 levels/);
  });

  test('may have brackets and quotes in its text', () => {
    const value = ['['.repeat(300), '\\"'.repeat(300), '{"['.repeat(300)];
    expect(parse(JSON.stringify(value))).toEqual(value);
  });

  test.each([
    ['{"tasks":[{"a":"x\\u0000"}]}', 'tasks.0.a: expected text without NUL'],
    ['{"tasks":[{"\\uD800":1}]}', 'A key of tasks.0: expected text without NUL'],
    ['"\\udc00"', 'body: expected text without NUL'],
    ['{"a":1e400}', 'a: expected a number that fits a double'],
    ['[[-1E+0400]]', '0.0: expected a number'],
    [`{"a":${'9'.repeat(400)}}`, 'a: expected a number'],
    [`{"a":${'9'.repeat(250)}e99}`, 'a: expected a number'],
    ['{"a":', 'Expected the body to be JSON: Unexpected end of JSON input'],
    ['{"password":"hunter2",nope}', 'Expected the body to be JSON'],
    ['', 'Expected the body to be JSON'],
  ])('that says %.40s is refused, with the place', (text, complaint) => {
    expect(complaintOf(text)).toContain(complaint);
    expect(complaintOf(text)).not.toContain('hunter2');
  });

  test.each([
    '1e308',
    '1e-400',
    '0.1e1',
    '123456789012345678901234567890',
    '"1e400"',
    '"\\\\u0000"',
    '"\\ud83d\\udc0e"',
  ])('may be %s', (text) => expect(parse(text)).toEqual(JSON.parse(text)));

  test('quotes no more than a little of a long path', () => {
    expect(complaintOf(`{"${'k'.repeat(100_000)}":"\\u0000"}`).length).toBeLessThan(400);
    expect(complaintOf(`{${'x'.repeat(100_000)}`).length).toBeLessThan(400);
  });

  test.each([[[0xff]], [[0x22, 0xc3, 0x22]], [[0x22, 0xed, 0xa0, 0x80, 0x22]], [[0x22, 0xc0, 0x80, 0x22]]])(
    'that is not UTF-8 is refused: %j',
    (bytes) => expect(complaintOf(Buffer.from(bytes))).toBe('Expected the body to be JSON in UTF-8'),
  );
});
