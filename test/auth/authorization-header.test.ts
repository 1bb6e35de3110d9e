import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readBasic, readBearer } from '../../src/auth/authorization-header.js';
import { basic } from './auth-support.js';

const printable = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .filter((s) => !/\p{Cc}/u.test(s));

describe('the Basic scheme', () => {
  test('any password without control characters arrives as it was typed', () => {
    fc.assert(
      fc.property(printable, (password) => {
        expect(readBasic(basic('ann@example.com', password))).toEqual({
          kind: 'password',
          email: 'ann@example.com',
          password,
        });
      }),
    );
  });

  test.each(['a:b', ':', ':begins with one', 'ends with one:', '::'])(
    'only the first colon divides: %j is a whole password',
    (password) => {
      expect(readBasic(basic('ann@example.com', password))).toMatchObject({ password });
    },
  );

  test('an email is read in lower case, a password and a token as they are', () => {
    expect(readBasic(basic('Ann@Example.COM', 'SeCret'))).toEqual({
      kind: 'password',
      email: 'ann@example.com',
      password: 'SeCret',
    });
    expect(readBasic(basic('Ann@Example.COM/Token', 'tally_AbC'))).toEqual({
      kind: 'token',
      email: 'ann@example.com',
      token: 'tally_AbC',
    });
  });

  test.each([
    ['no credentials', 'Basic'],
    ['empty credentials', 'Basic '],
    ['characters outside base64', 'Basic %%%%'],
    ['two of them', `${basic('ann@example.com', 'secret')} ${basic('ann@example.com', 'secret')}`],
    ['no colon', `Basic ${Buffer.from('ann@example.com').toString('base64')}`],
    ['no email', basic('', 'secret')],
    ['no email before /token', basic('/token', 'secret')],
    ['no password', basic('ann@example.com', '')],
    ['an email longer than any', basic(`${'a'.repeat(250)}@b.example`, 'secret')],
    ['a NUL in the email', basic('ann\0@example.com', 'secret')],
    ['a line feed in the password', basic('ann@example.com', 'sec\nret')],
    ['Latin-1', `Basic ${Buffer.from('ann@example.com:pässword', 'latin1').toString('base64')}`],
    [
      'a scheme with Basic inside its name',
      basic('ann@example.com', 'secret').replace('Basic', 'NotBasicAtAll'),
    ],
    ['a Bearer token', 'Bearer tally_abc'],
  ])('%s is no Basic credential', (_, header) => {
    expect(readBasic(header)).toBeNull();
  });

  test('no header makes it throw', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void readBasic(`Basic ${text}`)));
    fc.assert(
      fc.property(
        fc.uint8Array(),
        (bytes) => void readBasic(`Basic ${Buffer.from(bytes).toString('base64')}`),
      ),
    );
  });
});

describe('the Bearer scheme', () => {
  test.each(['Bearer', 'bearer', 'BEARER'])('is known as %s', (scheme) => {
    expect(readBearer(`${scheme} tally_Ab-_9`)).toEqual({ kind: 'token', email: null, token: 'tally_Ab-_9' });
  });

  test.each(['Bearer', 'Bearer ', 'Bearer two words', 'Bearer a:b', 'Basic tally_abc', 'xBearer abc'])(
    '%j is no Bearer credential',
    (header) => {
      expect(readBearer(header)).toBeNull();
    },
  );
});
