import { z } from 'zod';
import { StartError } from '../errors.js';

const MIB = 1024 * 1024;

const integer = (min: number, max: number, fallback: number) =>
  z
    .string()
    .regex(/^-?\d+$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((n) => n >= min && n <= max, `expected a whole number from ${min} to ${max}`)
    .default(fallback)
    .meta({ values: `${min.toLocaleString('en-US')} to ${max.toLocaleString('en-US')}` });

const url = (protocols: readonly string[], what: string) =>
  z
    .string()
    .refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), `expected ${what}`);

/** Base64 of 24 to 64 bytes after `whsec_`: what Standard Webhooks demands of a secret. */
function isSigningSecret(text: string): boolean {
  const encoded = /^whsec_(.+)$/.exec(text)?.[1] ?? '';
  const key = Buffer.from(encoded, 'base64');
  return key.length >= 24 && key.length <= 64 && key.toString('base64') === encoded;
}

/** `describe` is what docs/configuration.md says of each; "npm run configuration:dump" writes that file from it. */
export const environment = z.object({
  PORT: integer(0, 65_535, 3000).describe(
    'TCP port of the HTTP API; 0 picks a free one. A worker answers health checks only when it is given',
  ),
  HOST: z
    .string()
    .min(1, 'expected an address')
    .default('127.0.0.1')
    .describe('address to listen on; 0.0.0.0 for all of the machine'),
  DATABASE_URL: url(['postgres:', 'postgresql:'], 'a URL that begins with postgres://')
    .optional()
    .describe('the Postgres to use, 15 or later; unset: an embedded one under `DATA_DIR`'),
  PREPARED_STATEMENTS: z
    .enum(['true', 'false'], 'expected true or false')
    .default('true')
    .transform((text) => text === 'true')
    .describe(
      '`false`: connections keep no prepared statements; behind a pooler that is noticed they never do',
    ),
  DIRECT_DATABASE_URL: url(['postgres:', 'postgresql:'], 'a URL that begins with postgres://')
    .optional()
    .describe(
      'the same database past a transaction pooler, to hear its notifications; unset: workers look four times a second',
    ),
  DATA_DIR: z
    .string()
    .min(1, 'expected a path')
    .default('.data')
    .describe('where the embedded Postgres keeps its data'),
  PUBLIC_URL: url(['http:', 'https:'], 'a URL that begins with http:// or https://')
    .refine((text) => !/[?#]/.test(text), 'expected a URL without a query and a fragment')
    .transform((text) => text.replace(/\/+$/, ''))
    .optional()
    .describe('the origin in every URL that the API answers with; unset: that of the request'),
  ENVELOPE: z
    .enum(['none', 'job_status'], 'expected none or job_status')
    .default('none')
    .describe(
      'what stands around a single status: nothing, or `{"job_status": …}`, as clients of help-desk APIs want it',
    ),
  ROLE: z
    .enum(['all', 'api', 'worker'], 'expected all, api or worker')
    .default('all')
    .describe('what this process does: answer HTTP, run tasks, or both'),
  ADMIN_EMAIL: z
    .email('expected an email address')
    .transform((text) => text.toLowerCase())
    .default('admin@example.com')
    .describe('the first admin, made when the database has no user'),
  ADMIN_PASSWORD: z
    .string()
    .min(8, 'expected at least 8 characters')
    .optional()
    .describe('the first admin’s password, at least 8 characters; unset: a generated one, printed once'),
  HANDLERS: z
    .string()
    .min(1, 'expected a path')
    .optional()
    .describe('a directory whose ES modules export task handlers of your own'),
  LEASE_SECONDS: integer(2, 3600, 15).describe('how long a worker that says nothing keeps its tasks'),
  DRAIN_SECONDS: integer(0, 3600, 10).describe('how long running tasks may go on after SIGTERM'),
  WORKER_CONCURRENCY: integer(1, 10_000, 20).describe('tasks running at once in this process'),
  // 0 is refused, since it could mean at once as well as never; ten years are as good as for ever.
  RETENTION_HOURS: integer(1, 87_600, 168).describe(
    'hours that an ended job and its results are kept; the same for all processes',
  ),
  MAX_RUNNING_TASKS: integer(0, 1_000_000, 0).describe(
    'tasks of an account running at once over all processes, at most; 0: any number',
  ),
  RESULTS_INLINE_MAX: integer(1, 10_000, 1000).describe('results in a polled status, at most'),
  MAX_TASKS_PER_JOB: integer(1, 10_000_000, 1_000_000).describe('tasks in a job, at most'),
  MAX_TASK_BYTES: integer(16, 512 * 1024, 64 * 1024).describe('bytes of a task as JSON, at most'),
  MAX_BODY_BYTES: integer(1024, 512 * MIB, 32 * MIB).describe('bytes of a JSON request body, at most'),
  MAX_UPLOAD_BYTES: integer(1024, 1024 * 1024 * MIB, 1024 * MIB).describe(
    'bytes of a streamed NDJSON submission, inflated, at most',
  ),
  MAX_WORKING_JOBS: integer(1, 1_000_000, 30).describe('working jobs of an account, at most'),
  MAX_REQUESTS_PER_SECOND: integer(0, 1_000_000, 0).describe(
    'requests of an account that a process answers in a second, at most; 0: any number',
  ),
  MAX_PENDING_WRITES: integer(1, 100_000, 1000).describe(
    'requests that write and are in work at once in a process, at most; the surplus is refused with 503',
  ),
  MAX_PENDING_BYTES: integer(1024, 64 * 1024 * MIB, 256 * MIB).describe(
    'bytes of the JSON bodies of those requests, at most; a single one is never too many',
  ),
  MAX_UPLOADS: integer(1, 10_000, 100).describe(
    'streamed NDJSON submissions in work at once in a process, at most',
  ),
  CALLBACK_SECRET: z
    .string()
    .transform((text) => text.trim().split(/\s+/))
    .refine(
      (secrets) => secrets.every(isSigningSecret),
      'expected whsec_ and 24 to 64 bytes as base64 (several with spaces between them)',
    )
    .optional()
    .describe(
      'signs [callbacks](api-submitting.md#callbacks): `whsec_` and 24 to 64 bytes as base64; several, with spaces between, all sign; unset: no job may have one',
    ),
  CALLBACK_ALLOW_PRIVATE: z
    .enum(['true', 'false'], 'expected true or false')
    .default('false')
    .transform((text) => text === 'true')
    .describe('whether callbacks may go to addresses that are not public'),
  METRICS_TOKEN: z
    .string()
    .min(16, 'expected at least 16 characters')
    .regex(/^[\x21-\x7e]+$/, 'expected printable ASCII without spaces')
    .optional()
    .describe(
      'who reads `/metrics` must bring it as a Bearer token, 16 or more printable characters; unset: anyone may',
    ),
  DEMO_TASKS: z
    .enum(['true', 'false'], 'expected true or false')
    .default('false')
    .transform((text) => text === 'true')
    .describe('whether `demo.sleep` and `demo.fail` may be submitted'),
});

/** Every variable of the environment that is read. */
export const VARIABLES: readonly string[] = Object.keys(environment.shape);

export type Config = Readonly<
  z.output<typeof environment> & {
    /** Whether PORT was given: a worker answers health checks only then. */
    readonly hasPort: boolean;
  }
>;

/** The name under which Nest hands out the one Config of the process. */
export const CONFIG = Symbol('CONFIG');

/** A variable of the environment has a value that cannot be used. The message is the one sentence to print. */
export class ConfigError extends StartError {
  override readonly name = 'ConfigError';
}

/**
 * Parses the environment whole, once, at start. Unset and empty are the same.
 * @throws ConfigError that names the variable, what was expected and what it was (never a secret's value)
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(VARIABLES.flatMap((key) => (env[key] ? [[key, env[key]]] : [])));
  const parsed = environment
    .refine(
      ({ DATABASE_URL, DIRECT_DATABASE_URL: direct }) => direct === undefined || DATABASE_URL !== undefined,
      {
        path: ['DIRECT_DATABASE_URL'],
        error: 'expected DATABASE_URL beside it',
      },
    )
    .safeParse(given);
  if (parsed.success) return Object.freeze({ ...parsed.data, hasPort: Boolean(env['PORT']) });
  const problems = parsed.error.issues.map((issue) => {
    const key = String(issue.path[0]);
    const secret = /PASSWORD|SECRET|TOKEN|URL/.test(key);
    return `${key}: ${issue.message}${secret ? '' : `, got: ${String(env[key])}`}`;
  });
  throw new ConfigError(`The configuration cannot be used: ${problems.join('; ')}`);
}
