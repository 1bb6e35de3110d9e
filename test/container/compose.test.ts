import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { composeProblems, readCompose } from '../../scripts/container/compose.js';
import { parseDockerfile } from '../../scripts/container/dockerfile.js';

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const OURS = read('docker-compose.yml');
const STAGES = parseDockerfile(read('Dockerfile')).map(({ name }) => name);

/** Name and value of each variable in .env.example. */
const EXAMPLE = Object.fromEntries(
  [...read('.env.example').matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]),
);

/** The sentences about ours with one thing changed, wherever it stands. */
const changed = (text: string, instead: string): string[] => {
  expect(OURS).toContain(text);
  return composeProblems(OURS.replaceAll(text, instead), STAGES);
};

describe('docker-compose.yml', () => {
  it('is as it must be', () => {
    expect(composeProblems(OURS, STAGES)).toEqual([]);
  });

  it('will not start without the passwords, which .env.example leaves empty', () => {
    expect(() => readCompose(OURS, EXAMPLE)).toThrow('POSTGRES_PASSWORD: set it in .env');
    expect(() => readCompose(OURS, { ...EXAMPLE, POSTGRES_PASSWORD: 'x' })).toThrow('ADMIN_PASSWORD');
  });

  it('has every variable in .env.example, with the same default', () => {
    const used = new Map(
      [...OURS.matchAll(/\$\{(\w+):[-?]([^}]*)\}/g)].map(([, name, rest]) => [name!, rest!]),
    );
    expect([...used.keys()].sort()).toEqual(Object.keys(EXAMPLE).sort());
    for (const [name, value] of Object.entries(EXAMPLE))
      if (!name.endsWith('_PASSWORD')) expect([name, used.get(name)]).toEqual([name, value]);
  });

  it('gives the variables to the service', () => {
    const { services } = readCompose(OURS, {
      ...EXAMPLE,
      POSTGRES_PASSWORD: 'p',
      ADMIN_PASSWORD: 'q',
      WORKERS: '5',
    });
    expect(services.api.environment).toMatchObject({
      DATABASE_URL: 'postgresql://tally:p@postgres:5432/tally',
      ADMIN_PASSWORD: 'q',
      ROLE: 'api',
    });
    expect(services.worker.deploy?.replicas).toBe('5');
    expect(services.api.ports).toEqual(['127.0.0.1:3000:3000']);
  });
});

describe('the check of docker-compose.yml', () => {
  it.each([
    ['ROLE: worker', 'ROLL: worker', ['worker: the service knows no variable ROLL', 'worker: runs as all']],
    [
      'DRAIN_SECONDS:-10',
      'DRAIN_SECONDS:-40',
      ['api', 'worker'].map((r) => `${r}: is killed after 30 s, and may drain as long`),
    ],
    [
      'DRAIN_SECONDS:-10',
      'DRAIN_SECONDS:-soon',
      ['api', 'worker'].map(
        (r) =>
          `${r}: The configuration cannot be used: DRAIN_SECONDS: expected a whole number from 0 to 3600, got: soon`,
      ),
    ],
    [
      'read_only: true',
      'read_only: false',
      ['api', 'worker', 'studio'].map((r) => `${r}: its root file system may be written`),
    ],
    [
      '${ADMIN_PASSWORD:?set it in .env}',
      '${ADMIN_PASSWORD:-password}',
      ['ADMIN_PASSWORD has a default: everyone would have the same password'],
    ],
    [
      'target: service',
      'target: serivce',
      ['api', 'worker'].map((r) => `${r}: the Dockerfile has no stage serivce`),
    ],
    ['WORKERS:-2', 'WORKERS:-1', ['worker: fewer than two']],
    [
      'postgres:/var/lib/postgresql',
      'postgres:/var/lib/postgresql/data',
      ['postgres: its data is in no named volume'],
    ],
    [
      '127.0.0.1:${STUDIO_PORT:-5555}:',
      '${STUDIO_PORT:-5555}:',
      ['studio: can be reached from other machines'],
    ],
    ['profiles: [studio]', 'profiles: []', ['studio: starts without being asked for']],
  ])('finds %j as %j', (text, instead, sentences) => {
    expect(changed(text, instead)).toEqual(sentences);
  });

  it('refuses a variable in a form that it does not know', () => {
    expect(() => changed('${WORKERS:-2}', '$WORKERS')).toThrow('a variable that cannot be read: $WORKERS');
  });
});
