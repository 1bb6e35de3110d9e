import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { FastifyRequest } from 'fastify';
import { Origin } from '../../src/http/origin.js';
import { JOBS, raw, rawGet, serve, sleepJob, submitted, type Served } from './http-support.js';

let served: Served;
beforeAll(async () => {
  served = await serve();
  await submitted(served);
  await submitted(served);
});
afterAll(() => served.stop());

/** The list's answer to a request with these headers: it has the URLs of jobs and a link. */
async function listed(headers: readonly string[], target = '/api/v2/job_statuses.json?page[size]=1') {
  const answer = await raw(served.app.origin, rawGet(target, served.user, headers));
  expect(answer.status).toBe(200);
  const { job_statuses: jobs, links } = JSON.parse(
    answer.body.replace(/^[0-9a-f]+\r\n|\r\n0\r\n\r\n$/gi, ''),
  );
  return { url: jobs[0].url as string, next: links.next as string };
}

const port = () => new URL(served.app.origin).port;

describe('URLs in answers are absolute', () => {
  test.each(['api.example.com', 'localhost:3000', '127.0.0.1:80', '[::1]:3000', 'under_score'])(
    'at the host that was asked: %s',
    async (host) => {
      const { url, next } = await listed([`Host: ${host}`]);
      expect(url).toMatch(
        new RegExp(`^http://${host.replace(/[[\]]/g, '\\$&')}/api/v2/job_statuses/[0-9a-f]{32}\\.json$`),
      );
      expect(next.startsWith(`http://${host.replace(/:80$/, '')}/api/v2/job_statuses.json?page`)).toBe(true);
    },
  );

  test.each([
    'evil.example.com/path?x=',
    'user@evil.example.com',
    '"><script>alert(1)</script>',
    'a b',
    'evil.example.com:99999',
    'evil.example.com:',
    '[:::]',
    '999.999.999.999',
    '',
  ])('and never at a host that is none: %s', async (host) => {
    const { url, next } = await listed([`Host: ${host}`]);
    expect(new URL(url).origin).toBe(served.app.origin);
    expect(new URL(next).origin).toBe(served.app.origin);
  });

  test('whatever a proxy that nobody named says', async () => {
    const { url } = await listed([
      'Host: real.example.com',
      'X-Forwarded-Host: evil',
      'X-Forwarded-Proto: https',
    ]);
    expect(new URL(url).origin).toBe('http://real.example.com');
  });

  test('also where the request has no Host, as in HTTP/1.0', async () => {
    const request = rawGet(JOBS, served.user, []).replace('HTTP/1.1', 'HTTP/1.0');
    const { status, body } = await raw(served.app.origin, request);
    expect(status).toBe(200);
    expect(body).toContain(`127.0.0.1:${port()}/api/v2/job_statuses/`);
  });

  test('in a submission, which answers the same in Location', async () => {
    const answer = await served.app.post(JOBS, served.user, sleepJob());
    expect(answer.headers.get('location')).toBe(answer.body.url);
    expect(answer.body.url).toBe(`${served.app.origin}/api/v2/job_statuses/${answer.body.id}.json`);
  });
});

describe('PUBLIC_URL', () => {
  test.each(['https://tally.example.com', 'https://example.com/tally/'])(
    '%s begins every URL',
    async (publicUrl) => {
      const { app, user, stop } = await serve({ env: { PUBLIC_URL: publicUrl } });
      try {
        const base = publicUrl.replace(/\/$/, '');
        const answer = await app.post(JOBS, user, sleepJob());
        expect(answer.body.url).toBe(`${base}/api/v2/job_statuses/${answer.body.id}.json`);
        expect(answer.headers.get('location')).toBe(answer.body.url);
        await submitted({ app, user });
        for (const list of ['job_statuses', 'jobs']) {
          const { body } = await app.get(`/api/v2/${list}.json?page[size]=1`, user);
          expect(body.links.next).toMatch(new RegExp(`^${base}/api/v2/${list}\\.json\\?page`));
          expect(body[list][0].url).toMatch(new RegExp(`^${base}/api/v2/job_statuses/`));
        }
      } finally {
        await stop();
      }
    },
  );
});

test('a service on an IPv6 address writes it in brackets', () => {
  const request = { host: '', protocol: 'http', originalUrl: '/x?y', socket: { localPort: 3000 } };
  const origin = new Origin({ HOST: '::1', PORT: 0, PUBLIC_URL: undefined });
  expect(origin.of(request as FastifyRequest)).toBe('http://[::1]:3000');
  expect(origin.urlOf(request as FastifyRequest).href).toBe('http://[::1]:3000/x?y');
});
