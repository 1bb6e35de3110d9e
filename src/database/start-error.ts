import { StartError } from '../errors.js';

/**
 * The database cannot be used, and another try by itself will not help. The message is the sentence to print at start,
 * without a stack; it never holds a password.
 */
export class DatabaseStartError extends StartError {
  override readonly name = 'DatabaseStartError';
}

/** Whether an error of Node or of Postgres carries one of these codes. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    typeof error.code === 'string' &&
    codes.includes(error.code)
  );
}
