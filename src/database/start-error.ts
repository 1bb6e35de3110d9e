/**
 * The database cannot be used, and another try by itself will not help. The message is the sentence to print at start,
 * without a stack; it never holds a password.
 */
export class DatabaseStartError extends Error {
  override readonly name = 'DatabaseStartError';
}
