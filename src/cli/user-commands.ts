import { text } from 'node:stream/consumers';
import { generatePassword } from '../auth/passwords.js';
import type { UserRequest } from '../auth/user.arguments.js';
import { passwordSchema } from '../auth/user.schemas.js';
import { UsersStore } from '../auth/users.store.js';
import { parseConfig } from '../config/config.js';
import { openDatabase } from '../database/open-database.js';
import { PrismaService } from '../database/prisma.service.js';
import { DomainError } from '../errors.js';
import { say } from './terminal.js';

/** What changes users, accounts and tokens: `npm run user` and `tally users` alike. */

type Environment = Readonly<Record<string, string | undefined>>;

/** Someone waits before the terminal: less patience than the service has at its start. */
const DATABASE_PATIENCE_MS = 5_000;

export interface Outcome {
  readonly done: string;
  /** What must be told now, since it cannot be read again. */
  readonly secret?: string;
}

/** Runs on the service's own database: DATABASE_URL, or the embedded one under DATA_DIR. */
export async function onDatabase<T>(
  env: Environment,
  work: (prisma: PrismaService) => Promise<T>,
): Promise<T> {
  const database = await openDatabase(parseConfig(env), say, DATABASE_PATIENCE_MS);
  const prisma = new PrismaService(database.url);
  try {
    return await work(prisma);
  } finally {
    await prisma.onModuleDestroy();
    await database.close();
  }
}

export async function changeUsers(request: UserRequest, env: Environment): Promise<Outcome> {
  parseConfig(env);
  const password = request.passwordFromStdin ? await readPassword() : null;
  return onDatabase(env, (prisma) => execute(request, password, new UsersStore(prisma)));
}

async function readPassword(): Promise<string> {
  const given = (await text(process.stdin)).replace(/\r?\n$/, '');
  const parsed = passwordSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new DomainError('RecordInvalid', `password: ${parsed.error.issues[0]?.message ?? 'cannot be used'}`);
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

/** The secret alone goes to standard output, so that a script can take it. */
export function tell({ done, secret }: Outcome): void {
  say(done);
  if (secret === undefined) return;
  say('It is not shown again:');
  process.stdout.write(`${secret}\n`);
}
