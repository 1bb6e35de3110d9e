import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RepeatFinder } from '../../src/jobs/repeat-finder.js';

const hasRepeat = (keys: readonly (string | number)[]): boolean => {
  const finder = new RepeatFinder();
  for (const key of keys) finder.add(key);
  return finder.hasRepeat;
};

describe('a repeated key', () => {
  it('is found wherever it stands', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(50), fc.string({ maxLength: 2 }))), (keys) => {
        expect(hasRepeat(keys)).toBe(new Set(keys).size < keys.length);
      }),
    );
  });

  it('is assumed where there are more keys than are remembered', () => {
    expect(hasRepeat(Array.from({ length: 250_000 }, (_, n) => n))).toBe(false);
    expect(hasRepeat(Array.from({ length: 250_001 }, (_, n) => n))).toBe(true);
  });
});
