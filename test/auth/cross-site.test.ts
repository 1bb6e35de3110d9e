import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectError, JOBS, raw, rowsLeft, serve, sleepJob, type Served } from '../http/http-support.js';
import type { Answer, TestUser } from '../support/app.js';
import { SESSION, signedIn } from './session-support.js';

type Headers = Record<string, string>;

let served: Served;
let user: TestUser;
let cookie: string;
let token: string;
beforeAll(async () => {
  served = await serve({ env: { PUBLIC_URL: 'https://tally.example.com', MAX_WORKING_JOBS: '1000' } });
  ({ user } = served);
  cookie = await signedIn(served.app, user);
  token = await served.app.addToken(user);
});
afterAll(() => served.stop());

const EVIL = 'https://evil.example.net';

/** How a request says who asks. */
const by: Record<
  string,
  (method: string, path: string, headers: Headers, body?: unknown) => Promise<Answer>
> = {
  cookie: (method, path, headers, body) => served.app.call(method, path, null, body, { ...headers, cookie }),
  Basic: (method, path, headers, body) => served.app.call(method, path, user, body, headers),
  Bearer: (method, path, headers, body) =>
    served.app.call(method, path, null, body, { ...headers, authorization: `Bearer ${token}` }),
};

/** What a browser says of a page elsewhere. */
const FOREIGN: [string, Headers][] = [
  ['another site', { 'sec-fetch-site': 'cross-site' }],
  ['a neighbour', { 'sec-fetch-site': 'same-site' }],
  ['another origin, in an old browser', { origin: EVIL }],
  ['a sandbox or a file', { origin: 'null' }],
  ['another port of this host', { origin: 'https://tally.example.com:8443' }],
  ['a host that begins like this one', { origin: 'https://tally.example.com.evil.example.net' }],
];

/** What this service's own page says, and programs. */
const OWN: [string, Headers][] = [
  ['a program', {}],
  ['its own page', { 'sec-fetch-site': 'same-origin', origin: 'https://tally.example.com' }],
  ['its own page in an old browser, by its public host', { origin: 'https://tally.example.com' }],
  [
    'its own page behind a proxy that sends another Host',
    { 'sec-fetch-site': 'same-origin', origin: 'http://x' },
  ],
];

describe.each(FOREIGN)('a request of %s', (_, headers) => {
  test.each(['cookie', 'Basic', 'Bearer'])('that changes something is refused, with %s', async (how) => {
    const rows = await rowsLeft(served.app);
    expectError(await by[how]!('POST', JOBS, headers, sleepJob()), 403, 'Forbidden');
    expectError(await by[how]!('DELETE', '/api/v2/jobs/1.json', headers), 403, 'Forbidden');
    expectError(
      await by[how]!('PUT', '/api/v2/tickets/update_many.json?ids=1', headers, { ticket: {} }),
      403,
      'Forbidden',
    );
    expect(await rowsLeft(served.app)).toBe(rows);
  });

  test.each(['cookie', 'Basic'])('that reads is refused, with %s, however the path is spelt', async (how) => {
    for (const path of [JOBS, '/%61pi/v2/jobs', '/api/v2/tickets'])
      expectError(await by[how]!('GET', path, headers), 403, 'Forbidden');
  });

  test('that reads is done with a Bearer token, which no browser adds by itself', async () => {
    expect((await by['Bearer']!('GET', JOBS, headers)).status).toBe(200);
  });

  test('neither signs in nor out, nor is told who has', async () => {
    const credentials = { email: user.email, password: 'correct horse' };
    expectError(await served.app.call('POST', SESSION, null, credentials, headers), 403, 'Forbidden');
    expectError(await by['cookie']!('DELETE', SESSION, headers), 403, 'Forbidden');
    expectError(await by['cookie']!('GET', SESSION, headers), 403, 'Forbidden');
    expect((await by['cookie']!('GET', SESSION, {})).status).toBe(200);
  });

  test('may have what anyone may see: a link can stand anywhere', async () => {
    for (const path of ['/docs', '/openapi.json', '/healthz'])
      expect((await by['cookie']!('GET', path, headers)).status).toBe(200);
  });
});

describe.each(OWN)('a request of %s', (_, headers) => {
  test.each(['cookie', 'Basic', 'Bearer'])('is done, with %s', async (how) => {
    expect((await by[how]!('POST', JOBS, headers, sleepJob())).status).toBe(202);
    expect((await by[how]!('GET', JOBS, headers)).status).toBe(200);
  });
});

test('a request of its own page by the host that it was asked at is done', async () => {
  const headers = { origin: served.app.origin };
  expect((await by['cookie']!('POST', JOBS, headers, sleepJob())).status).toBe(202);
});

test('an address that the user typed is read, and nothing is changed by it', async () => {
  const headers = { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' };
  expect((await by['Basic']!('GET', JOBS, headers)).status).toBe(200);
  expectError(await by['Basic']!('POST', JOBS, headers, sleepJob()), 403, 'Forbidden');
});

describe('a 401', () => {
  const CHALLENGE = 'Basic realm="Tally", charset="UTF-8"';
  const challengeFor = async (headers: Headers) => {
    const answer = await served.app.get(JOBS, null, headers);
    expectError(answer, 401, 'Unauthorized');
    return answer.headers.get('www-authenticate');
  };

  test.each<[string, Headers]>([
    ['a program', {}],
    ["a program on Node's fetch", { 'sec-fetch-mode': 'cors' }],
    ['wrong credentials', { authorization: 'Bearer x' }],
  ])('for %s asks for Basic credentials', async (_, headers) => {
    expect(await challengeFor(headers)).toBe(CHALLENGE);
  });

  // Raw, since fetch says the mode itself.
  test('for an address that the user typed asks for Basic credentials', async () => {
    const lines = [
      'Host: localhost',
      'Sec-Fetch-Site: none',
      'Sec-Fetch-Mode: navigate',
      'Connection: close',
    ];
    const { status, head } = await raw(
      served.app.origin,
      `GET ${JOBS} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`,
    );
    expect(status).toBe(401);
    expect(head.toLowerCase()).toContain(`www-authenticate: ${CHALLENGE.toLowerCase()}`);
  });

  test.each<[string, Headers]>([
    ['a script of a page', { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' }],
    [
      'an EventSource of a page',
      { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', accept: 'text/event-stream' },
    ],
    ['the dashboard over plain http', { 'x-tally-client': 'dashboard' }],
    ['a session that has ended', { cookie: `tally_session=${'A'.repeat(43)}` }],
  ])('for %s opens no dialog of the browser', async (_, headers) => {
    expect(await challengeFor(headers)).toBeNull();
  });
});
