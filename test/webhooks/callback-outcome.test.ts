import { describe, expect, test } from '@jest/globals';
import { backoffMs, MAX_ATTEMPTS, outcomeOfAnswer } from '../../src/webhooks/callback-outcome.js';

const HOUR = 60 * 60 * 1_000;

describe('an answer', () => {
  test.each([200, 201, 202, 204, 299])('of %d means that the callback is delivered', (code) => {
    expect(outcomeOfAnswer(code, undefined)).toEqual({ is: 'delivered' });
  });

  test.each([
    [301, 'the receiver answered 301, and redirects are not followed'],
    [304, 'the receiver answered 304, and redirects are not followed'],
    [400, 'the receiver answered 400'],
    [404, 'the receiver answered 404'],
    [500, 'the receiver answered 500'],
  ])('of %d means another try', (code, error) => {
    expect(outcomeOfAnswer(code, undefined)).toEqual({ is: 'failed', error, isFinal: false });
  });

  test('of 410 means that there is nobody any more', () => {
    expect(outcomeOfAnswer(410, '5')).toMatchObject({ is: 'failed', isFinal: true });
  });

  test.each([
    ['120', 120_000],
    ['0', 0],
    ['soon', undefined],
    ['-1', undefined],
    ['Wed, 21 Oct 2015 07:28:00 GMT', undefined],
  ])('may ask for a wait: Retry-After: %s', (header, expected) => {
    expect(outcomeOfAnswer(503, header)).toHaveProperty('error', 'the receiver answered 503');
    expect((outcomeOfAnswer(429, header) as { retryAfterMs?: number }).retryAfterMs).toBe(expected);
  });
});

describe('the wait before the next try', () => {
  test('grows from five seconds to six hours, and all of them together are about a day', () => {
    const waits = Array.from({ length: MAX_ATTEMPTS - 1 }, (_, n) => backoffMs(n + 1, 0));
    expect(waits.slice(0, 4)).toEqual([5_000, 15_000, 45_000, 135_000]);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits.at(-1)).toBe(6 * HOUR);
    const total = waits.reduce((sum, wait) => sum + wait, 0) / HOUR;
    expect(total).toBeGreaterThan(20);
    expect(total * 1.2).toBeLessThan(30);
  });

  test('differs by up to a fifth', () => {
    expect(backoffMs(1, 0.5)).toBe(5_500);
    expect(backoffMs(1, 1)).toBe(6_000);
  });

  test('is as long as the receiver asked for, within six hours', () => {
    expect(backoffMs(1, 0, 60_000)).toBe(60_000);
    expect(backoffMs(5, 0, 1)).toBe(backoffMs(5, 0));
    expect(backoffMs(1, 0, 1_000 * HOUR)).toBe(6 * HOUR);
  });
});
