import { describe, expect, test } from '@jest/globals';
import { readArguments, UsageError } from '../../src/auth/user.arguments.js';

describe('the command line of npm run user', () => {
  test('adds an agent to the account main unless told otherwise', () => {
    expect(readArguments(['add', 'Ann@Example.com'])).toEqual({
      command: 'add',
      email: 'ann@example.com',
      account: 'main',
      role: 'agent',
      passwordFromStdin: false,
    });
    expect(
      readArguments(['--role=admin', 'add', '--account', 'acme', 'ann@example.com', '--password-stdin']),
    ).toMatchObject({ account: 'acme', role: 'admin', passwordFromStdin: true });
  });

  test.each([[['--help']], [['-h']], [['add', '--help']]])('%j asks for help', (args) => {
    expect(readArguments(args)).toBeNull();
  });

  test.each([
    [[], 'expected a command'],
    [['rename', 'ann@example.com'], 'expected add, password, token, revoke, disable, enable, got: rename'],
    [['constructor', 'ann@example.com'], 'got: constructor'],
    [['add'], 'add needs an EMAIL'],
    [['add', 'ann'], 'email: expected an email address'],
    [['add', 'ann@example.com', 'bob@example.com'], 'expected one EMAIL, got also: bob@example.com'],
    [['add', 'ann@example.com', '--role', 'owner'], 'role: expected admin or agent'],
    [['add', 'ann@example.com', '--account', 'Acme'], 'account: expected at most 63 lower-case letters'],
    [['add', 'ann@example.com', '--account'], "Option '--account <value>' argument missing"],
    [['add', 'ann@example.com', '--password', 'secret'], "Unknown option '--password'"],
    [['token', 'ann@example.com', '--role', 'admin'], 'token takes no --role'],
    [['disable', 'ann@example.com', '--password-stdin'], 'disable takes no --password-stdin'],
  ])('%j is wrong usage', (args, sentence) => {
    expect(() => readArguments(args)).toThrow(UsageError);
    expect(() => readArguments(args)).toThrow(sentence);
  });
});
