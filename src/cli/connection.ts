import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { createClient, type Credentials, type TallyClient } from '../client/client.js';
import { parseClientConfig, type ClientConfig } from '../config/client-config.js';
import { hasCode } from '../database/start-error.js';
import { UsageError } from './exit.js';

/** Where credentials are kept that the environment does not have. */
export const CREDENTIALS_FILE = join(homedir(), '.config', 'tally', 'credentials.json');

const DEFAULT_URL = 'http://127.0.0.1:3000';

const fileSchema = z.union(
  [
    z.strictObject({ url: z.url().optional(), token: z.string().min(1) }),
    z.strictObject({ url: z.url().optional(), email: z.string().min(1), password: z.string().min(1) }),
  ],
  'expected {"token": …} or {"email": …, "password": …}, each with an optional "url"',
);

/**
 * A client for the service and the user that the environment or the credentials file names: never arguments, which everybody
 * on the machine can read in the list of processes.
 * @throws ConfigError, UsageError
 */
export async function connect(env: Readonly<Record<string, string | undefined>>): Promise<TallyClient> {
  const config = parseClientConfig(env);
  const given = credentialsOf(config);
  if (given) return createClient({ baseUrl: config.TALLY_URL ?? DEFAULT_URL, credentials: given });
  const { url, ...credentials } = await readFileOf(CREDENTIALS_FILE);
  // A password is not sent to a place for which it was not written down.
  if (url !== undefined && config.TALLY_URL !== undefined && originOf(url) !== originOf(config.TALLY_URL))
    throw new UsageError(
      `${CREDENTIALS_FILE} is for ${url}, and TALLY_URL names another service: set TALLY_TOKEN for that`,
    );
  return createClient({ baseUrl: config.TALLY_URL ?? url ?? DEFAULT_URL, credentials });
}

const originOf = (url: string): string => new URL(url).origin;

function credentialsOf({ TALLY_TOKEN, TALLY_EMAIL, TALLY_PASSWORD }: ClientConfig): Credentials | null {
  if (TALLY_TOKEN !== undefined) return { token: TALLY_TOKEN };
  if (TALLY_EMAIL === undefined || TALLY_PASSWORD === undefined) return null;
  return { email: TALLY_EMAIL, password: TALLY_PASSWORD };
}

async function readFileOf(path: string): Promise<z.output<typeof fileSchema>> {
  const text = await readPrivate(path);
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? error.issues[0]?.message : 'expected JSON';
    throw new UsageError(`${path}: ${why}`, { cause: error });
  }
}

/** @throws UsageError: it is not there, or others can read it */
async function readPrivate(path: string): Promise<string> {
  const file = await open(path).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw new UsageError(`${path} cannot be read`, { cause: error });
    throw new UsageError(
      `No credentials: set TALLY_TOKEN, or TALLY_EMAIL and TALLY_PASSWORD, or write {"token": "…"} to ${path}`,
      { cause: error },
    );
  });
  try {
    const { mode } = await file.stat();
    // Windows keeps no such bits.
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw new UsageError(
        `${path} can be read by others (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${path}`,
      );
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
