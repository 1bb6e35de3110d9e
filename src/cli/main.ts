#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { UsageError as UserUsageError } from '../auth/user.arguments.js';
import { connect, CREDENTIALS_FILE } from './connection.js';
import { endingOf, EXIT, UsageError } from './exit.js';
import { addJobCommands, type Session } from './job-commands.js';
import { addOperatorCommands } from './operator-commands.js';
import { say } from './terminal.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const EPILOGUE = `
Who calls, and where:
  TALLY_URL                    where the service answers (default http://127.0.0.1:3000)
  TALLY_TOKEN                  an API token; or TALLY_EMAIL and TALLY_PASSWORD
  ${CREDENTIALS_FILE}
                               else {"url": "…", "token": "…"}, which only you may read (chmod 600)

Exit codes:
  0 done   1 the job has not ended with every task succeeded, or the doctor has found something ill
  2 wrong usage   3 refused   4 the service or its database cannot be reached   130 interrupted

Examples:
  tally submit tickets.update updates.csv --watch
  tally list --status working
  tally results 01a20a673e7f7694b5f6e4d8ff848aa0 --failed --csv > failed.csv`;

function programOf(session: Session): Command {
  const program = new Command('tally')
    .description('Bulk jobs: submit them, watch them, and see to the service that runs them.')
    .version(version)
    .addHelpText('after', EPILOGUE)
    .showHelpAfterError('(--help says more)')
    .exitOverride();
  // Commands take over what is set here when they are made.
  addJobCommands(program, session);
  addOperatorCommands(program, process.env, session);
  return program;
}

/** @returns the exit code */
function report(error: unknown, isJson: boolean): number {
  // Commander has printed its own, with the help that was asked for or the sentence.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  const { code, sentence, word } = endingOf(
    error instanceof UserUsageError ? new UsageError(error.message, { cause: error }) : error,
  );
  if (isJson) say(JSON.stringify({ error: word, description: sentence }));
  else say(sentence);
  return code;
}

// Whoever reads our output may stop before its end, as head does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT.done : EXIT.badNews);
});

try {
  const session: Session = {
    connect: () => connect(process.env),
    exitWith: (code) => (process.exitCode = code),
  };
  await programOf(session).parseAsync();
} catch (error) {
  process.exitCode = report(error, process.argv.includes('--json'));
}
