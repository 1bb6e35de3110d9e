import { z } from 'zod';
import { ConfigError } from './config.js';

/** Where the service is and who calls it, for the command line. */
export const clientEnvironment = z.object({
  TALLY_URL: z
    .url({ protocol: /^https?$/, error: 'expected a URL that begins with http:// or https://' })
    .optional()
    .describe('where the service answers; unset: the one of the credentials file, or http://127.0.0.1:3000'),
  TALLY_TOKEN: z.string().optional().describe('an API token'),
  TALLY_EMAIL: z.string().optional().describe('a user’s email, with TALLY_PASSWORD'),
  TALLY_PASSWORD: z.string().optional().describe('the password of TALLY_EMAIL'),
});

export type ClientConfig = z.output<typeof clientEnvironment>;

/**
 * Reads what the environment says of the service to call. Unset and empty are the same.
 * @throws ConfigError that names the variable, never its value
 */
export function parseClientConfig(env: Readonly<Record<string, string | undefined>>): ClientConfig {
  const given = Object.fromEntries(
    Object.keys(clientEnvironment.shape).flatMap((name) => (env[name] ? [[name, env[name]]] : [])),
  );
  const parsed = clientEnvironment.safeParse(given);
  if (!parsed.success)
    throw new ConfigError(
      parsed.error.issues.map(({ path, message }) => `${String(path[0])}: ${message}`).join('; '),
    );
  const { TALLY_EMAIL, TALLY_PASSWORD } = parsed.data;
  if ((TALLY_EMAIL === undefined) !== (TALLY_PASSWORD === undefined))
    throw new ConfigError('TALLY_EMAIL and TALLY_PASSWORD: expected both, or neither');
  return parsed.data;
}
