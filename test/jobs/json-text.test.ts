import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_JSON_DEPTH } from '../../src/jobs/job.js';
import { whyNotStorable } from '../../src/jobs/json-text.js';

const unstorableText = (text: string): boolean => !text.isWellFormed() || text.includes('\0');

/** The model: walks the value instead of its text. */
function hasUnstorable(value: unknown): boolean {
  if (typeof value === 'string') return unstorableText(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, child]) => unstorableText(key) || hasUnstorable(child));
}

const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        '\\',
        '"',
        '\0',
        'u0000',
        '\\u0000',
        'ud800',
        '\ud800',
        '\udfff',
        '🐎',
        '[',
        '{',
        ']',
        '}',
        'x',
      ),
    )
    .map((parts) => parts.join('')),
);
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    text,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, false),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(text, tie('value'), { maxKeys: 4 }),
  ),
})).value;

const wrapped = (levels: number, inner: unknown): unknown => {
  let value = inner;
  for (let level = 0; level < levels; level += 1)
    value = level % 2 === 0 ? [value] : { [`"[${level}`]: value };
  return value;
};

describe('JSON text', () => {
  test('is storable exactly when no string and no key in it has a NUL or a lone surrogate', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(whyNotStorable(JSON.stringify(value)) !== null).toBe(hasUnstorable(value));
      }),
      { numRuns: 1_000 },
    );
  });

  test('is storable exactly when it nests no deeper than the limit', () => {
    const levels = fc.integer({ min: MAX_JSON_DEPTH - 8, max: MAX_JSON_DEPTH + 8 });
    const inner = json.filter((value) => !hasUnstorable(value));
    fc.assert(
      fc.property(levels, inner, (count, value) => {
        const whole = wrapped(count, value);
        expect(whyNotStorable(JSON.stringify(whole)) !== null).toBe(depthOf(whole) > MAX_JSON_DEPTH);
      }),
    );
  });

  test.each([
    ['"\\u0000"', false],
    ['"\\\\u0000"', true],
    ['"\\\\\\u0000"', false],
    ['"\\ud83d"', false],
    ['"\\\\ud83d"', true],
    ['"🐎"', true],
    ['{"\\u0000":1}', false],
    ['"u0000"', true],
  ])('%s: storable %s', (printed, expected) => expect(whyNotStorable(printed) === null).toBe(expected));

  test('of a million backslashes is judged at once', () => {
    const started = performance.now();
    expect(whyNotStorable(JSON.stringify('\\'.repeat(500_000)))).toBeNull();
    expect(whyNotStorable(JSON.stringify(`${'\\'.repeat(500_000)}\0`))).not.toBeNull();
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});
