import { StartError } from '../errors.js';

/**
 * The database cannot be used, and another try by itself will not help. The message is the sentence to print at start,
 * without a stack; it never holds a password.
 */
export class DatabaseStartError extends StartError {
  override readonly name = 'DatabaseStartError';
}

/** The code that an error of Node or of Postgres carries; empty: it has none. */
export function codeOf(error: unknown): string {
  const hasOne = typeof error === 'object' && error !== null && 'code' in error;
  return hasOne && typeof error.code === 'string' ? error.code : '';
}

/** Whether an error of Node or of Postgres carries one of these codes. */
export const hasCode = (error: unknown, ...codes: string[]): boolean => codes.includes(codeOf(error));
