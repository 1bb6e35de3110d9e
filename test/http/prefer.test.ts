import { expect, test } from '@jest/globals';
import { preferredWait } from '../../src/http/prefer.js';

test.each([
  ['wait=10', 10],
  ['wait=0', 0],
  ['Wait = 10', 10],
  ['wait="10"', 10],
  ['respond-async, wait=10', 10],
  ['wait=10;x=y', 10],
  ['foo="a, wait=1", wait=2', 2],
  ['foo="a\\", wait=1", wait=3', 3],
  ['return=minimal;wait=5, wait=4', 4],
  ['wait=61', 60],
  ['wait=999999999', 60],
  ['wait=5, wait=6', 5],
])('%j holds the answer for %d seconds', (header, seconds) => {
  expect(preferredWait(header)).toBe(seconds);
});

test.each([
  undefined,
  '',
  'wait',
  'wait=',
  'wait=-1',
  'wait=1.5',
  'wait=soon',
  'wait=9999999999',
  'wait=x, wait=5',
  'await=1',
  'waiting=5',
  'foo="wait=5"',
  ',,"',
])('%j asks for nothing', (header) => {
  expect(preferredWait(header)).toBeNull();
});
