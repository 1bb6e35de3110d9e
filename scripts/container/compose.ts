import { parse } from 'yaml';
import { z } from 'zod';
import { ConfigError, parseConfig } from '../../src/config/config.js';

const text = z.union([z.string(), z.number()]).transform(String);
const service = z.object({
  image: z.string().optional(),
  build: z.object({ context: z.string(), target: z.string() }).optional(),
  environment: z.record(z.string(), text).default({}),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  tmpfs: z.array(z.string()).default([]),
  profiles: z.array(z.string()).default([]),
  read_only: z.boolean().default(false),
  cap_drop: z.array(z.string()).default([]),
  stop_grace_period: z.string().optional(),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
  deploy: z.object({ replicas: text }).optional(),
});
const compose = z.object({
  services: z.object({ postgres: service, api: service, worker: service, studio: service }).strict(),
  volumes: z.record(z.string(), z.unknown()),
});

type Service = z.output<typeof service>;
export type Compose = z.output<typeof compose>;

/** Variables that must be set in .env: there is no value that would do for everyone. */
const SECRETS = ['POSTGRES_PASSWORD', 'ADMIN_PASSWORD'];

/**
 * Reads docker-compose.yml with these variables set, as Docker Compose would.
 * @throws Error when a variable that has no default is not set, or the file has another shape than ours
 */
export function readCompose(yaml: string, variables: Readonly<Record<string, string>>): Compose {
  const document: unknown = parse(yaml, { merge: true });
  return compose.parse(substituted(document, variables));
}

function substituted(node: unknown, variables: Readonly<Record<string, string>>): unknown {
  if (typeof node === 'string') return substitute(node, variables);
  if (Array.isArray(node)) return node.map((item) => substituted(item, variables));
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, substituted(value, variables)]));
}

/** `${NAME:-default}` and `${NAME:?message}`, the two forms in use; in both, empty is as good as unset. */
function substitute(value: string, variables: Readonly<Record<string, string>>): string {
  const whole = value.replace(/\$\{(\w+):([-?])([^}]*)\}/g, (_, name: string, form: string, rest: string) => {
    const given = variables[name];
    if (given !== undefined && given !== '') return given;
    if (form === '?') throw new Error(`${name}: ${rest}`);
    return rest;
  });
  if (whole.includes('$')) throw new Error(`a variable that cannot be read: ${value}`);
  return whole;
}

/** @returns a sentence for each thing in docker-compose.yml that is not as it must be */
export function composeProblems(yaml: string, stages: readonly string[]): string[] {
  const given = Object.fromEntries(SECRETS.map((name) => [name, 'correct-horse']));
  const { services, volumes } = readCompose(yaml, given);
  return [
    ...SECRETS.filter((name) => isOptional(yaml, { ...given, [name]: '' })).map(
      (name) => `${name} has a default: everyone would have the same password`,
    ),
    ...(['api', 'worker'] as const).flatMap((name) => ofService(name, services[name])),
    ...ofBuilds(services, stages),
    ...ofPostgres(services.postgres, volumes),
    ...ofStudio(services.studio),
    ...wants(Number(services.worker.deploy?.replicas) >= 2, 'worker: fewer than two'),
    ...wants(services.worker.ports.length === 0, 'worker: publishes a port'),
    ...wants(
      services.api.ports.some((port) => port.endsWith(':3000')),
      'api: port 3000 is not published',
    ),
  ];
}

const wants = (isSo: boolean, otherwise: string): string[] => (isSo ? [] : [otherwise]);

function isOptional(yaml: string, variables: Readonly<Record<string, string>>): boolean {
  try {
    readCompose(yaml, variables);
    return true;
  } catch {
    return false;
  }
}

function ofService(role: 'api' | 'worker', found: Service): string[] {
  return [
    ...ofEnvironment(role, found),
    ...hardened(role, found),
    ...wants(
      found.volumes.some((volume) => volume.endsWith(':/handlers:ro')),
      `${role}: no handlers`,
    ),
    ...wants(
      found.depends_on['postgres']?.condition === 'service_healthy',
      `${role}: does not wait for Postgres`,
    ),
  ];
}

function ofEnvironment(role: string, { environment, stop_grace_period }: Service): string[] {
  try {
    const config = parseConfig(environment);
    const unknown = Object.keys(environment).filter((name) => environment[name] && !(name in config));
    const grace = secondsOf(stop_grace_period ?? '10s');
    return [
      ...unknown.map((name) => `${role}: the service knows no variable ${name}`),
      ...wants(config.ROLE === role, `${role}: runs as ${config.ROLE}`),
      ...wants(config.DATABASE_URL !== undefined, `${role}: has no DATABASE_URL`),
      ...wants(grace > config.DRAIN_SECONDS, `${role}: is killed after ${grace} s, and may drain as long`),
    ];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [`${role}: ${error.message}`];
  }
}

const hardened = (name: string, { read_only, tmpfs, cap_drop }: Service): string[] => [
  ...wants(read_only, `${name}: its root file system may be written`),
  ...wants(tmpfs.includes('/tmp'), `${name}: has no /tmp`),
  ...wants(cap_drop.includes('ALL'), `${name}: has capabilities`),
];

function ofBuilds(services: Compose['services'], stages: readonly string[]): string[] {
  return Object.entries(services).flatMap(([name, { build }]) =>
    build && !stages.includes(build.target) ? [`${name}: the Dockerfile has no stage ${build.target}`] : [],
  );
}

function ofPostgres({ image, volumes, healthcheck, ports }: Service, named: Compose['volumes']): string[] {
  const [volume = '', place] = volumes[0]?.split(':') ?? [];
  return [
    ...wants(/^postgres:18\b/.test(image ?? ''), `postgres: ${image ?? 'no image'} is not 18`),
    ...wants(volume in named && place === '/var/lib/postgresql', 'postgres: its data is in no named volume'),
    ...wants(healthcheck !== undefined, 'postgres: has no health check'),
    ...wants(ports.length === 0, 'postgres: publishes a port'),
  ];
}

function ofStudio(studio: Service): string[] {
  return [
    ...wants(studio.profiles.includes('studio'), 'studio: starts without being asked for'),
    ...wants(
      studio.ports.length > 0 && studio.ports.every((port) => port.startsWith('127.0.0.1:')),
      'studio: can be reached from other machines',
    ),
    ...hardened('studio', studio),
  ];
}

/** `90s` or `1m30s`. */
function secondsOf(duration: string): number {
  const [whole, minutes = '0', seconds = '0'] = /^(?:(\d+)m)?(?:(\d+)s)?$/.exec(duration) ?? [];
  if (!whole) throw new Error(`expected a duration such as 30s, got: ${duration}`);
  return Number(minutes) * 60 + Number(seconds);
}
