import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { ignoreOf } from '../../scripts/container/context.js';
import { mapped } from '../../scripts/container/layout.js';

const OURS = ignoreOf(readFileSync(new URL('../../.dockerignore', import.meta.url), 'utf8'));

describe('the context of a build', () => {
  it.each(['src/main.ts', 'src/jobs/job.ts', 'prisma/schema.prisma', 'package.json', 'scripts/studio.ts'])(
    'has %s',
    (path) => expect(OURS(path)).toBe(false),
  );

  it.each([
    ...['.env', '.git/config', '.data/postgres/PG_VERSION', 'node_modules/x/index.js', 'dist/main.js'],
    ...['test/support/app.ts', 'src/database/generated/client.ts', 'scripts/demo.ts', 'srcs'],
  ])('has not %s', (path) => expect(OURS(path)).toBe(true));

  it('lets the last pattern that fits decide', () => {
    const ignores = ignoreOf('# all\n*.md\n!README.md\ndocs/**/draft\n?.txt\n');
    const paths = ['A.md', 'README.md', 'x/A.md', 'docs/a/b/draft/c', 'docs/draft', 'a.txt', 'ab.txt'];
    expect(paths.filter(ignores)).toEqual(['A.md', 'docs/a/b/draft/c', 'docs/draft', 'a.txt']);
  });
});

describe("a stage's paths", () => {
  it.each([
    ['mkdir /handlers', 'mkdir /tmp/s/handlers'],
    ['X=/bin/true cp a /app/b', 'X=/bin/true cp a /tmp/s/app/b'],
    ['echo a/b https://example.com', 'echo a/b https://example.com'],
  ])('are found in %j', (command, expected) => expect(mapped(command, { root: '/tmp/s' })).toBe(expected));
});
