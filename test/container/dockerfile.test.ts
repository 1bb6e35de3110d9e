import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import {
  execForm,
  healthCheckOf,
  lastOf,
  pairsOf,
  parseDockerfile,
} from '../../scripts/container/dockerfile.js';
import { breaches } from '../../scripts/container/rules.js';

const OURS = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');

const GOOD = `
# What it is for.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json \\
  # a comment between two lines
  package-lock.json ./
RUN npm ci

FROM node:24-slim
COPY --from=build --chown=node:node /app/dist dist
ENV PORT=3000 GREETING="good day"
USER node
HEALTHCHECK --timeout=3s CMD ["node", "check.js"]
CMD ["node", "main.js"]
`;

/** The sentences about GOOD with one thing changed. */
const without = (text: string, instead: string): string[] => {
  expect(GOOD).toContain(text);
  return breaches(parseDockerfile(GOOD.replace(text, instead)));
};

describe('the parser of Dockerfiles', () => {
  it('reads stages, flags and continued lines', () => {
    const [build, last] = parseDockerfile(GOOD);
    expect([build?.name, build?.from, last?.name]).toEqual(['build', 'node:24-slim', '1']);
    expect(build?.instructions.map(({ name, line }) => [name, line])).toEqual([
      ['WORKDIR', 4],
      ['COPY', 5],
      ['RUN', 8],
    ]);
    expect(build?.instructions[1]?.text).toMatch(/^package\.json\s+package-lock\.json \.\/$/);
    const copy = lastOf(last!, 'COPY');
    expect(copy?.flags).toEqual({ from: 'build', chown: 'node:node' });
    expect(copy?.text).toBe('/app/dist dist');
    expect(pairsOf(lastOf(last!, 'ENV')!)).toEqual([
      ['PORT', '3000'],
      ['GREETING', 'good day'],
    ]);
    expect(healthCheckOf(last!)).toEqual({ command: ['node', 'check.js'], timeoutSeconds: 3 });
  });

  it('takes the last of an instruction, as Docker does', () => {
    const [stage] = parseDockerfile('FROM node:24\nCMD ["a"]\nCMD ["b"]');
    expect(execForm(lastOf(stage!, 'CMD')!.text)).toEqual(['b']);
  });

  it.each([
    ['FROM node:24\nONBUILD RUN x', /line 2: ONBUILD is unknown/],
    ['FROM node:24\nRUN <<EOF\nls\nEOF', /line 2: here-documents/],
    ['RUN ls', /line 1: RUN comes before the first FROM/],
    ['FROM node:24\nRUN ls \\', /line 2: the last line promises another/],
    ['FROM node:24 BUT other', /line 1: FROM cannot be read/],
    ['FROM node:24\nCOPY --link a b', /line 2: the flags of COPY/],
    ['', /there is no FROM/],
  ])('refuses what it does not know: %j', (text, message) => {
    expect(() => parseDockerfile(text)).toThrow(message);
  });

  it('refuses an ENV without a value', () => {
    const [stage] = parseDockerfile('FROM node:24\nENV PORT 3000');
    expect(() => pairsOf(lastOf(stage!, 'ENV')!)).toThrow('line 2: ENV expects NAME=value, got: PORT');
  });
});

describe('the rules of Dockerfiles', () => {
  it('are kept by ours', () => {
    expect(breaches(parseDockerfile(OURS))).toEqual([]);
  });

  it('find nothing in a good one', () => {
    expect(breaches(parseDockerfile(GOOD))).toEqual([]);
  });

  it.each([
    ['USER node', '', 'stage 1 runs as root'],
    ['USER node', 'USER root', 'stage 1 runs as root'],
    ['USER node', 'USER 0:0', 'stage 1 runs as root'],
    ['USER node', 'USER node\nUSER root', 'stage 1 runs as root'],
    [
      'CMD ["node", "main.js"]\n',
      'CMD node main.js\n',
      'line 15: CMD through a shell, which keeps signals to itself',
    ],
    ['CMD ["node", "main.js"]\n', '\n', 'stage 1 starts nothing'],
    ['HEALTHCHECK --timeout=3s CMD ["node", "check.js"]', '', 'stage 1 has no HEALTHCHECK'],
    [
      'RUN npm ci',
      'ADD https://example.com/x.tgz /x',
      'line 8: ADD fetches and unpacks; COPY does what it says',
    ],
    ['RUN npm ci', 'COPY . .', 'line 8: COPY of the whole folder takes along what nobody listed'],
    ['--from=build', '--from=biuld', 'line 11: COPY --from=biuld names no earlier stage'],
    ['FROM node:24-slim\n', 'FROM node\n', 'stage 1 begins from node, whichever that is'],
    ['FROM node:24-slim\n', 'FROM node:latest\n', 'stage 1 begins from node:latest, whichever that is'],
    ['PORT=3000', 'ADMIN_PASSWORD=secret', 'line 12: ADMIN_PASSWORD would be a secret in the image'],
    ['RUN npm ci', 'ARG NPM_TOKEN', 'line 8: NPM_TOKEN would be a secret in the image'],
    ['PORT=3000', 'X=postgres://a:b@host/c', 'line 12: X would be a secret in the image'],
  ])('find a breach: %j as %j', (text, instead, sentence) => {
    expect(without(text, instead)).toEqual([sentence]);
  });
});
