import { readArguments, UsageError } from './auth/user.arguments.js';
import { DEFAULT_ACCOUNT } from './auth/user.schemas.js';
import { endingOf } from './cli/exit.js';
import { say } from './cli/terminal.js';
import { changeUsers, tell } from './cli/user-commands.js';

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

try {
  const request = readArguments(process.argv.slice(2));
  if (request) tell(await changeUsers(request, process.env));
  else console.log(USAGE);
} catch (error) {
  if (error instanceof UsageError) {
    say(`${error.message} (--help says more)`);
    process.exitCode = 2;
  } else {
    say(endingOf(error).sentence);
    process.exitCode = 1;
  }
}
