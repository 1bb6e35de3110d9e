import type { Command } from 'commander';
import { DirectoryStore } from '../auth/directory.store.js';
import { userRequest, type TypedUser } from '../auth/user.arguments.js';
import { DEFAULT_ACCOUNT } from '../auth/user.schemas.js';
import type { Finding } from './doctor-checks.js';
import { EXIT } from './exit.js';
import type { Session } from './job-commands.js';
import { print, printJson, table } from './terminal.js';

type Environment = Readonly<Record<string, string | undefined>>;
interface Json {
  readonly json?: boolean;
}

/** Loaded by the commands that need it: with Prisma and Nest, which it brings along, `tally list` started in 0.5 s, now in 0.2 s. */
const onTheDatabase = () => import('./user-commands.js');

const JSON_FLAG = ['--json', 'print JSON, for programs'] as const;
const WHERE = '\nIt works on the database itself: DATABASE_URL, or the embedded one under DATA_DIR.';

/** For whoever runs the service, on a machine that reaches its database. */
export function addOperatorCommands(program: Command, env: Environment, session: Session): void {
  addUsers(program, env);
  addAccounts(program, env);
  addTokens(program, env);
  addDoctor(program, env, session);
}

/** Rows as JSON lines, or as a table with these columns. */
async function printRows<Row extends object>(
  rows: readonly Row[],
  columns: Readonly<Record<string, (row: Row) => string>>,
  json: boolean,
): Promise<void> {
  if (json) for (const row of rows) await printJson(row);
  else
    await print(
      table(
        Object.keys(columns),
        rows.map((row) => Object.values(columns).map((cell) => cell(row))),
      ),
    );
}

async function listed<Row>(
  env: Environment,
  look: (directory: DirectoryStore) => Promise<Row[]>,
): Promise<Row[]> {
  const { onDatabase } = await onTheDatabase();
  return onDatabase(env, (prisma) => look(new DirectoryStore(prisma)));
}

type UserCommand = Parameters<typeof userRequest>[0];

/** Runs one of the changes that `npm run user` knows too. */
const change =
  (env: Environment, command: UserCommand) =>
  async (email: string, { passwordStdin, json, ...typed }: Typed): Promise<void> => {
    const request = userRequest(command, { email, ...typed, passwordFromStdin: passwordStdin });
    const { changeUsers, tell } = await onTheDatabase();
    const outcome = await changeUsers(request, env);
    if (json) await printJson(outcome);
    else tell(outcome);
  };

interface Typed extends Omit<TypedUser, 'email' | 'passwordFromStdin'>, Json {
  readonly passwordStdin?: boolean;
}

const STDIN_FLAG = [
  '--password-stdin',
  'read the password from standard input; else one is generated and printed once',
] as const;

function addUsers(program: Command, env: Environment): void {
  const users = program.command('users').description('list, add and change users (operator)');
  users
    .command('list', { isDefault: true })
    .description('list users')
    .option('--account <subdomain>', 'only of this account')
    .option(...JSON_FLAG)
    .action(async ({ account = null, json = false }: Json & { account?: string | null }) => {
      const rows = await listed(env, (directory) => directory.users(account));
      await printRows(
        rows,
        {
          EMAIL: ({ email }) => email,
          ACCOUNT: (row) => row.account,
          ROLE: ({ role }) => role,
          TOKENS: ({ tokens }) => String(tokens),
          DISABLED: ({ disabledAt }) => disabledAt?.toISOString() ?? '',
        },
        json,
      );
    });
  users
    .command('add <email>')
    .description('add a user, and the account where there is none of that name')
    .option('--account <subdomain>', `the user's account (default: ${DEFAULT_ACCOUNT})`)
    .option('--role <role>', 'admin or agent (default: agent)')
    .option(...STDIN_FLAG)
    .option(...JSON_FLAG)
    .action(change(env, 'add'));
  users
    .command('password <email>')
    .description('give a user another password')
    .option(...STDIN_FLAG)
    .option(...JSON_FLAG)
    .action(change(env, 'password'));
  for (const [name, does] of [
    ['disable', "refuse the user's password and tokens, within a minute"],
    ['enable', 'take them again'],
  ] as const)
    users
      .command(`${name} <email>`)
      .description(does)
      .option(...JSON_FLAG)
      .action(change(env, name));
  users.addHelpText(
    'after',
    `${WHERE}

Examples:
  tally users --account acme
  tally users add ann@example.com --account acme --role admin
  tally users disable ann@example.com`,
  );
}

function addAccounts(program: Command, env: Environment): void {
  program
    .command('accounts')
    .description('list accounts (operator)')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `${WHERE}\nAn account is made with its first user: tally users add.\n\nExample:\n  tally accounts`,
    )
    .action(async ({ json = false }: Json) => {
      const rows = await listed(env, (directory) => directory.accounts());
      await printRows(
        rows,
        {
          ACCOUNT: ({ account }) => account,
          USERS: (row) => String(row.users),
          'WORKING JOBS': ({ workingJobs }) => String(workingJobs),
          SINCE: ({ createdAt }) => createdAt.toISOString(),
        },
        json,
      );
    });
}

function addTokens(program: Command, env: Environment): void {
  const tokens = program.command('tokens').description('list, make and revoke API tokens (operator)');
  tokens
    .command('list [email]', { isDefault: true })
    .description('list tokens, of one user or of all')
    .option(...JSON_FLAG)
    .action(async (email: string | undefined, { json = false }: Json) => {
      const rows = await listed(env, (directory) => directory.tokens(email ?? null));
      await printRows(
        rows,
        {
          EMAIL: (row) => row.email,
          NAME: ({ name }) => name,
          SINCE: ({ createdAt }) => createdAt.toISOString(),
          REVOKED: ({ revokedAt }) => revokedAt?.toISOString() ?? '',
        },
        json,
      );
    });
  tokens
    .command('add <email>')
    .description('make a token and print it; it cannot be printed again')
    .option(...JSON_FLAG)
    .action(change(env, 'token'));
  tokens
    .command('revoke <email>')
    .description('refuse every token of a user, within a minute')
    .option(...JSON_FLAG)
    .action(change(env, 'revoke'));
  tokens.addHelpText(
    'after',
    `${WHERE}

Examples:
  tally tokens list ann@example.com
  TALLY_TOKEN=$(tally tokens add ann@example.com)
  tally tokens revoke ann@example.com`,
  );
}

const MARK: Readonly<Record<Finding['is'], string>> = { well: 'ok  ', doubtful: 'look', ill: 'FAIL' };

function addDoctor(program: Command, env: Environment, session: Session): void {
  program
    .command('doctor')
    .description('examine the database, the workers and the queue, and say what to do (operator)')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `${WHERE}
It changes nothing, and migrates nothing. Exit code 1 when something is ill.

Examples:
  tally doctor
  DATABASE_URL=postgres://tally@db/tally tally doctor --json | jq 'select(.is != "well")'`,
    )
    .action(async ({ json }: Json) => {
      const { examine } = await import('./doctor.js');
      const findings = await examine(env);
      for (const finding of findings) {
        if (json) await printJson(finding);
        else {
          await print(`${MARK[finding.is]}  ${finding.what}: ${finding.seen}`);
          if (finding.advice !== undefined) await print(`      → ${finding.advice}`);
        }
      }
      if (findings.some(({ is }) => is === 'ill')) session.exitWith(EXIT.badNews);
    });
}
