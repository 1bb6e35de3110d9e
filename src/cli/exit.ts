import { InvalidArgumentError } from 'commander';
import { TallyError } from '../client/client.js';
import { ConfigError } from '../config/config.js';
import { DatabaseStartError } from '../database/start-error.js';
import { DomainError, messageOf } from '../errors.js';
import { isDatabaseAway } from '../sql-errors.js';

/** What scripts can tell by the exit code; documented in docs/cli.md. */
export const EXIT = {
  done: 0,
  /** The job did not end with every task succeeded, or the doctor has found something. */
  badNews: 1,
  usage: 2,
  refused: 3,
  unreachable: 4,
  interrupted: 130,
} as const;

/** The command line, a file or the credentials cannot be used. The message is the sentence to print. */
export class UsageError extends Error {}

/** A whole number for an option. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}`);
  };
}

export interface Ending {
  readonly code: number;
  /** For people. */
  readonly sentence: string;
  /** For programs: the word of the error. */
  readonly word: string;
}

/** What an error means to whoever has called the command. */
export function endingOf(error: unknown): Ending {
  if (error instanceof TallyError)
    return {
      code: error.isTransient ? EXIT.unreachable : EXIT.refused,
      sentence: [error.description, ...detailsOf(error)].join('\n'),
      word: error.error,
    };
  if (error instanceof UsageError || error instanceof ConfigError)
    return { code: EXIT.usage, sentence: error.message, word: 'Usage' };
  if (error instanceof DomainError) return { code: EXIT.refused, sentence: wordsOf(error), word: error.name };
  if (error instanceof DatabaseStartError)
    return { code: EXIT.unreachable, sentence: error.message, word: 'Unreachable' };
  if (isDatabaseAway(error))
    return { code: EXIT.unreachable, sentence: 'The database cannot be reached', word: 'Unreachable' };
  return { code: EXIT.badNews, sentence: lastLineOf(error), word: 'InternalError' };
}

const detailsOf = (error: TallyError): string[] =>
  Object.entries(error.details).flatMap(([field, problems]) =>
    problems.map(({ description }) => `  ${field}: ${description}`),
  );

function wordsOf(error: DomainError): string {
  const { fields } = error.data;
  return fields
    ? fields.map(({ field, description }) => `${field}: ${description}`).join('; ')
    : error.message;
}

/** Prisma puts a call site before what went wrong. */
function lastLineOf(error: unknown): string {
  const message = messageOf(error).trim();
  return message.split('\n').at(-1) ?? message;
}
