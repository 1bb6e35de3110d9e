import { parseArgs } from 'node:util';
import { z } from 'zod';
import { DEFAULT_ACCOUNT, emailSchema, roleSchema, subdomainSchema } from './user.schemas.js';
import { messageOf } from '../errors.js';

const options = {
  account: { type: 'string' },
  role: { type: 'string' },
  'password-stdin': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Option = keyof typeof options;

/** The options that each command takes, besides --help. */
const COMMANDS = {
  add: ['account', 'role', 'password-stdin'],
  password: ['password-stdin'],
  token: [],
  revoke: [],
  disable: [],
  enable: [],
} as const satisfies Record<string, readonly Option[]>;

type Command = keyof typeof COMMANDS;

const isCommand = (word: string): word is Command => Object.hasOwn(COMMANDS, word);

const requestSchema = z.object({
  email: emailSchema,
  account: subdomainSchema.default(DEFAULT_ACCOUNT),
  role: roleSchema.default('agent'),
});

/** What `npm run user` was asked to do. */
export interface UserRequest extends z.infer<typeof requestSchema> {
  readonly command: Command;
  readonly passwordFromStdin: boolean;
}

/** The command line cannot be understood. The message is the one sentence to print. */
export class UsageError extends Error {}

/**
 * @param args the command line, less the program
 * @returns null when only help is wanted
 * @throws UsageError
 */
export function readArguments(args: readonly string[]): UserRequest | null {
  const { values, positionals } = parse(args);
  if (values.help) return null;
  const [command, email, ...rest] = positionals;
  if (command === undefined) throw new UsageError('expected a command');
  if (!isCommand(command))
    throw new UsageError(`expected ${Object.keys(COMMANDS).join(', ')}, got: ${command}`);
  if (email === undefined) throw new UsageError(`${command} needs an EMAIL`);
  if (rest.length > 0) throw new UsageError(`expected one EMAIL, got also: ${rest.join(' ')}`);
  const allowed: readonly Option[] = COMMANDS[command];
  const stray = (Object.keys(values) as Option[]).find((option) => !allowed.includes(option));
  if (stray) throw new UsageError(`${command} takes no --${stray}`);
  const { account, role, 'password-stdin': passwordFromStdin = false } = values;
  return userRequest(command, { email, account, role, passwordFromStdin });
}

/** What may be said of a user on a command line, as it was typed. */
export interface TypedUser {
  readonly email: string;
  readonly account?: string | undefined;
  readonly role?: string | undefined;
  readonly passwordFromStdin?: boolean | undefined;
}

/** @throws UsageError */
export function userRequest(
  command: Command,
  { passwordFromStdin = false, ...typed }: TypedUser,
): UserRequest {
  const parsed = requestSchema.safeParse(typed);
  if (parsed.success) return { ...parsed.data, command, passwordFromStdin };
  throw new UsageError(
    parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
  );
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}
