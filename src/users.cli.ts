import { text } from 'node:stream/consumers';
import { DEFAULT_ACCOUNT } from './auth/bootstrap.js';
import { generatePassword } from './auth/passwords.js';
import { readArguments, UsageError, type UserRequest } from './auth/user.arguments.js';
import { passwordSchema } from './auth/user.schemas.js';
import { UsersStore } from './auth/users.store.js';
import { ConfigError, parseConfig } from './config/config.js';
import { openDatabase } from './database/open-database.js';
import { PrismaService } from './database/prisma.service.js';
import { DatabaseStartError } from './database/start-error.js';
import { messageOf, DomainError } from './errors.js';
import { isDatabaseAway } from './sql-errors.js';

const USAGE = `Users of the API, their accounts and their tokens.

  npm run user -- add EMAIL [--account SUBDOMAIN] [--role admin|agent] [--password-stdin]
  npm run user -- password EMAIL [--password-stdin]
  npm run user -- token EMAIL
  npm run user -- revoke EMAIL
  npm run user -- disable EMAIL
  npm run user -- enable EMAIL

  add       makes a user, and the account where there is none of that name
  password  gives a user another password
  token     makes an API token and prints it; it cannot be printed again
  revoke    refuses every token that the user has
  disable   refuses the user's password and tokens (within a minute); enable takes them again

  --account SUBDOMAIN  the user's account (default: ${DEFAULT_ACCOUNT})
  --role admin|agent   what the user may do (default: agent)
  --password-stdin     reads the password from standard input; without it one is generated and printed once
  --help               prints this

A password or token alone goes to standard output, everything else to standard error.
The database is the service's: DATABASE_URL, or the embedded one under DATA_DIR.
Exit code: 0 done, 1 failed, 2 wrong usage.
`;

/** Someone waits before the terminal: less patience than the service has at its start. */
const DATABASE_PATIENCE_MS = 5_000;

const say = (line: string): void => console.error(line);

async function readPassword(): Promise<string> {
  const given = (await text(process.stdin)).replace(/\r?\n$/, '');
  const parsed = passwordSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new DomainError('RecordInvalid', `password: ${parsed.error.issues[0]?.message ?? 'cannot be used'}`);
}

interface Outcome {
  readonly done: string;
  /** What must be told now, since it cannot be read again. */
  readonly secret?: string;
}

/** @param given the password from standard input; null: one is generated where the command needs it */
async function execute(request: UserRequest, given: string | null, users: UsersStore): Promise<Outcome> {
  const { command, email, account, role } = request;
  const password = given ?? generatePassword();
  const told = given === null ? { secret: password } : {};
  switch (command) {
    case 'add':
      await users.add({ email, account, role, password });
      return { done: `Added the ${role} ${email} to the account ${account}.`, ...told };
    case 'password':
      await users.setPassword(email, password);
      return { done: `${email} has another password; the old one is refused within a minute.`, ...told };
    case 'token':
      return { done: `${email} has another token.`, secret: await users.createToken(email, 'command line') };
    case 'revoke': {
      const count = await users.revokeTokens(email);
      return { done: `Tokens of ${email} revoked: ${count}; they are refused within a minute.` };
    }
    case 'disable':
      await users.disable(email);
      return { done: `${email} is disabled, and refused within a minute.` };
    case 'enable':
      await users.enable(email);
      return { done: `${email} is enabled.` };
  }
}

async function run(request: UserRequest): Promise<void> {
  const config = parseConfig(process.env);
  const password = request.passwordFromStdin ? await readPassword() : null;
  const database = await openDatabase(config, say, DATABASE_PATIENCE_MS);
  const prisma = new PrismaService(database.url);
  try {
    const { done, secret } = await execute(request, password, new UsersStore(prisma));
    say(done);
    if (secret === undefined) return;
    say('It is not shown again:');
    console.log(secret);
  } finally {
    await prisma.onModuleDestroy();
    await database.close();
  }
}

function sentenceOf(error: unknown): string {
  if (error instanceof DomainError && error.data.fields)
    return error.data.fields.map(({ field, description }) => `${field}: ${description}`).join('; ');
  if (error instanceof DomainError || error instanceof ConfigError || error instanceof DatabaseStartError)
    return error.message;
  if (isDatabaseAway(error)) return 'The database cannot be reached';
  // Prisma puts a call site before what went wrong.
  const message = messageOf(error);
  return message.trim().split('\n').at(-1) ?? message;
}

try {
  const request = readArguments(process.argv.slice(2));
  if (request) await run(request);
  else console.log(USAGE);
} catch (error) {
  if (error instanceof UsageError) {
    say(`${error.message} (--help says more)`);
    process.exitCode = 2;
  } else {
    say(sentenceOf(error));
    process.exitCode = 1;
  }
}
