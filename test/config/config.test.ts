import { describe, expect, test } from '@jest/globals';
import { ConfigError, parseConfig, VARIABLES } from '../../src/config/config.js';

/** The one sentence that stops the start. */
function complaintOf(env: Record<string, string>): string {
  try {
    parseConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  return 'none';
}

describe('the configuration', () => {
  test('has the defaults of the contract', () => {
    expect(parseConfig({})).toMatchObject({
      PORT: 3000,
      HOST: '127.0.0.1',
      DATA_DIR: '.data',
      ROLE: 'all',
      LEASE_SECONDS: 15,
      DRAIN_SECONDS: 10,
      RETENTION_HOURS: 168,
      RESULTS_INLINE_MAX: 1_000,
      MAX_TASKS_PER_JOB: 1_000_000,
      MAX_TASK_BYTES: 65_536,
      MAX_BODY_BYTES: 33_554_432,
      MAX_UPLOAD_BYTES: 1_073_741_824,
      MAX_WORKING_JOBS: 30,
      MAX_PENDING_WRITES: 1_000,
      MAX_PENDING_BYTES: 268_435_456,
      MAX_UPLOADS: 100,
      MAX_REQUESTS_PER_SECOND: 0,
      DEMO_TASKS: false,
      CALLBACK_ALLOW_PRIVATE: false,
    });
    expect(parseConfig({}).CALLBACK_SECRET).toBeUndefined();
    expect(parseConfig({}).DATABASE_URL).toBeUndefined();
    expect(parseConfig({}).PUBLIC_URL).toBeUndefined();
  });

  test('takes an empty variable as one that is not set, and leaves those of others alone', () => {
    expect(parseConfig({ PORT: '', PUBLIC_URL: '', DEMO_TASKS: '', PATH: '/bin' })).toEqual(parseConfig({}));
  });

  test('cannot be changed', () => {
    expect(Object.isFrozen(parseConfig({}))).toBe(true);
  });

  test.each([
    ['https://example.com/', 'https://example.com'],
    ['https://example.com/tally//', 'https://example.com/tally'],
    ['http://localhost:3000', 'http://localhost:3000'],
  ])('reads PUBLIC_URL=%s', (given, expected) => {
    expect(parseConfig({ PUBLIC_URL: given }).PUBLIC_URL).toBe(expected);
  });

  test('reads one secret for callbacks, or several while they change', () => {
    const [one, other] = [24, 64].map((bytes) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`);
    expect(parseConfig({ CALLBACK_SECRET: one }).CALLBACK_SECRET).toEqual([one]);
    expect(parseConfig({ CALLBACK_SECRET: ` ${one}  ${other} ` }).CALLBACK_SECRET).toEqual([one, other]);
  });

  test('writes the first admin as users are written', () => {
    expect(parseConfig({ ADMIN_EMAIL: 'Ann@Example.com' }).ADMIN_EMAIL).toBe('ann@example.com');
  });
});

describe('a value that cannot be used is named with what was expected', () => {
  const refused: [string, string, string][] = [
    ['PORT', 'x', 'expected a whole number from 0 to 65535, got: x'],
    ['PORT', '65536', 'expected a whole number from 0 to 65535, got: 65536'],
    ['PORT', '80.5', 'expected a whole number'],
    ['PORT', '0x50', 'expected a whole number'],
    ['PORT', '1e3', 'expected a whole number'],
    ['PORT', ' 80', 'expected a whole number'],
    ['ROLE', 'both', 'expected all, api or worker, got: both'],
    ['METRICS_TOKEN', 'short', 'expected at least 16 characters'],
    ['DEMO_TASKS', 'yes', 'expected true or false, got: yes'],
    ['LEASE_SECONDS', '1', 'expected a whole number from 2'],
    ['LEASE_SECONDS', '3601', 'expected a whole number from 2 to 3600, got: 3601'],
    ['DRAIN_SECONDS', '-1', 'expected a whole number from 0 to 3600, got: -1'],
    ['ENVELOPE', 'ticket', 'expected none or job_status, got: ticket'],
    ['ADMIN_PASSWORD', '7 chars', 'expected at least 8 characters'],
    ['RESULTS_INLINE_MAX', '0', 'expected a whole number from 1 to 10000, got: 0'],
    ['MAX_TASK_BYTES', '15', 'expected a whole number from 16 to 524288, got: 15'],
    ['MAX_BODY_BYTES', '32MiB', 'expected a whole number from 1024 to 536870912, got: 32MiB'],
    ['MAX_RUNNING_TASKS', 'all', 'expected a whole number from 0 to 1000000, got: all'],
    ['WORKER_CONCURRENCY', '0', 'expected a whole number from 1'],
    ['RETENTION_HOURS', '0', 'expected a whole number from 1 to 87600, got: 0'],
    ['RETENTION_HOURS', '87601', 'expected a whole number from 1 to 87600'],
    ['RETENTION_HOURS', '0.5', 'expected a whole number from 1'],
    ['RETENTION_HOURS', '7d', 'expected a whole number from 1'],
    ['MAX_WORKING_JOBS', '0', 'expected a whole number from 1'],
    ['MAX_REQUESTS_PER_SECOND', '-1', 'expected a whole number from 0'],
    ['MAX_UPLOAD_BYTES', '1GB', 'expected a whole number from 1024'],
    ['PREPARED_STATEMENTS', 'yes', 'expected true or false, got: yes'],
    ['MAX_PENDING_WRITES', '0', 'expected a whole number from 1 to 100000, got: 0'],
    ['MAX_PENDING_BYTES', '1MB', 'expected a whole number from 1024'],
    ['MAX_UPLOADS', '0', 'expected a whole number from 1 to 10000, got: 0'],
    ['MAX_TASKS_PER_JOB', '-1', 'expected a whole number from 1'],
    ['ADMIN_EMAIL', 'ann', 'expected an email address, got: ann'],
    ['DATABASE_URL', 'mysql://x', 'expected a URL that begins with postgres://'],
    ['DATABASE_URL', 'x', 'expected a URL that begins with postgres://'],
    ['PREPARED_STATEMENTS', 'no', 'expected true or false, got: no'],
    ['DIRECT_DATABASE_URL', 'postgres://db/tally', 'expected DATABASE_URL beside it'],
    ['PUBLIC_URL', 'ftp://example.com', 'expected a URL that begins with http:// or https://'],
    ['PUBLIC_URL', 'example.com', 'expected a URL that begins with http:// or https://'],
    ['PUBLIC_URL', 'https://example.com/?a=b', 'without a query'],
    ['PUBLIC_URL', 'https://example.com/#top', 'without a query'],
    ['PUBLIC_URL', 'https://example.com/a?', 'without a query'],
    ['CALLBACK_ALLOW_PRIVATE', '1', 'expected true or false, got: 1'],
    ['CALLBACK_SECRET', 'x', 'expected whsec_ and 24 to 64 bytes as base64'],
    ['CALLBACK_SECRET', Buffer.alloc(24).toString('base64'), 'expected whsec_'],
    ['CALLBACK_SECRET', `whsec_${Buffer.alloc(23).toString('base64')}`, 'expected whsec_'],
    ['CALLBACK_SECRET', `whsec_${Buffer.alloc(65).toString('base64')}`, 'expected whsec_'],
    ['CALLBACK_SECRET', `whsec_${Buffer.alloc(32).toString('base64').slice(0, -1)}`, 'expected whsec_'],
    ['CALLBACK_SECRET', `whsec_${Buffer.alloc(24).toString('base64')} y`, 'expected whsec_'],
  ];

  test.each(refused)('%s=%s', (name, value, expected) => {
    const complaint = complaintOf({ [name]: value });
    expect(complaint).toContain(`${name}: `);
    expect(complaint).toContain(expected);
    expect(complaint.split('\n')).toHaveLength(1);
  });

  test('whichever variable it is, unless any text can be its value', () => {
    // Whether there is such a place is found out at the start.
    const places = ['HOST', 'DATA_DIR', 'HANDLERS'];
    expect(new Set([...refused.map(([name]) => name), ...places])).toEqual(new Set(VARIABLES));
  });

  test('all of them at once', () => {
    expect(complaintOf({ PORT: 'x', ROLE: 'y' })).toMatch(/PORT: .*; ROLE: /);
  });

  test('but a secret is not repeated', () => {
    const complaint = complaintOf({
      ADMIN_PASSWORD: 'hunter2',
      DATABASE_URL: 'mysql://tally:hunter3@db/tally',
      CALLBACK_SECRET: 'hunter4',
    });
    expect(complaint).toMatch(/ADMIN_PASSWORD: expected at least 8 characters/);
    expect(complaint).not.toMatch(/hunter/);
  });
});
