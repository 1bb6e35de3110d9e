import { describe, expect, test } from '@jest/globals';
import { rewriteUrl } from '../../src/http/fastify.js';
import { KnownPaths } from '../../src/http/known-paths.js';

describe('an API path loses its .json', () => {
  test.each([
    ['/api/v2/jobs.json', '/api/v2/jobs'],
    ['/api/v2/jobs.json?a=b.json', '/api/v2/jobs?a=b.json'],
    ['/api/v2/jobs.json?', '/api/v2/jobs?'],
    ['/api/v2/jobs/x/results.json', '/api/v2/jobs/x/results'],
    ['/api/v2/jobs.json.json', '/api/v2/jobs.json'],
    ['http://other.example.com/api/v2/jobs.json?a=1', '/api/v2/jobs?a=1'],
    ['HTTPS://other.example.com', '/'],
  ])('%s', (url, expected) => expect(rewriteUrl({ url })).toBe(expected));
});

describe('another URL stays as it is', () => {
  test.each([
    '/',
    '/openapi.json',
    '/api/v2/jobs',
    '/api/v2/jobs?x=.json',
    '/api/v2/jobs.JSON',
    '/api/v2/jobs.json/',
    // A client that forgot the id does not ask for the list.
    '/api/v2/job_statuses/.json',
    '/api/v2/.json',
    '/api/v3/jobs.json',
  ])('%s', (url) => expect(rewriteUrl({ url })).toBe(url));

  test('none at all is the root', () => expect(rewriteUrl({})).toBe('/'));
});

describe('known paths', () => {
  const known = new KnownPaths();
  known.add('/', 'GET');
  known.add('/api/v2/jobs', 'GET');
  known.add('/api/v2/jobs', ['POST']);
  known.add('/api/v2/jobs/:id', 'GET');
  known.add('/api/v2/jobs/:id', 'DELETE');
  known.add('/api/v2/jobs/:id/kill', 'POST');
  known.add('/docs/*', 'GET');
  known.add('*', 'OPTIONS');

  test.each([
    ['/', 'GET'],
    ['/api/v2/jobs', 'GET POST'],
    ['/api/v2/jobs/', 'GET POST'],
    ['/api/v2/jobs/1', 'DELETE GET'],
    ['/api/v2/jobs/1/kill', 'POST'],
    ['/docs/a/b', 'GET'],
    ['/api/v2/jobs/1/2', ''],
    ['/api/v2', ''],
    ['/api/v2/jobs//kill', ''],
    ['', 'GET'],
  ])('%s has %s', (path, methods) => expect(known.methodsOf(path).join(' ')).toBe(methods));
});
