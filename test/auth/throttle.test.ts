import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { FAILURES_PER_ADDRESS, FAILURES_PER_EMAIL, networkOf, Throttle } from '../../src/auth/throttle.js';

const ADDRESS = '192.0.2.1';

async function fail(throttle: Throttle, times: number, address: string, email: string | null): Promise<void> {
  for (let i = 0; i < times; i += 1) await throttle.failed(address, email);
}

describe('the throttle', () => {
  // The limiter's clock is the process's.
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test('an email may fail ten times a minute, whatever the addresses', async () => {
    const throttle = new Throttle();
    for (let i = 1; i < FAILURES_PER_EMAIL; i += 1) await throttle.failed(`192.0.2.${i}`, 'ann@example.com');
    await throttle.checkEmail('ann@example.com');
    await throttle.failed('192.0.2.99', 'ann@example.com');
    jest.advanceTimersByTime(15_500);

    await expect(throttle.checkEmail('ann@example.com')).rejects.toMatchObject({
      word: 'TooManyRequests',
      message: 'Too many sign-ins have failed; try again in 45 seconds',
      data: { retryAfterSeconds: 45 },
    });
    await throttle.checkEmail('bob@example.com');
    await throttle.checkAddress('192.0.2.99');
  });

  test('an address may fail thirty times a minute, whatever the emails', async () => {
    const throttle = new Throttle();
    for (let i = 1; i < FAILURES_PER_ADDRESS; i += 1) await throttle.failed(ADDRESS, `user${i}@example.com`);
    await throttle.checkAddress(ADDRESS);
    await throttle.failed(ADDRESS, null);

    await expect(throttle.checkAddress(ADDRESS)).rejects.toMatchObject({
      word: 'TooManyRequests',
      data: { retryAfterSeconds: 60 },
    });
    await throttle.checkAddress('192.0.2.2');
  });

  test('after a minute all is forgiven', async () => {
    const throttle = new Throttle();
    await fail(throttle, FAILURES_PER_ADDRESS, ADDRESS, 'ann@example.com');
    jest.advanceTimersByTime(60_000);

    await throttle.checkAddress(ADDRESS);
    await throttle.checkEmail('ann@example.com');
  });

  test('forty thousand emails keep no more entries than there are buckets', async () => {
    const throttle = new Throttle();
    for (let i = 0; i < 40_000; i += 1) await throttle.failed(ADDRESS, `user${i}@example.com`);

    // The limiter sets one timer an entry; one more entry is the address's.
    expect(jest.getTimerCount()).toBeLessThanOrEqual(32_768 + 1);
  });
});

describe('what counts as one address', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::9', '2001:db8:1:2'],
    ['2001:0DB8:0001:0002::9', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
  ])('%s counts as %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
