import { DomainError } from '../errors.js';

/** How the bytes of a JSON body become a value that can be walked, printed and stored without surprises. */

/**
 * Levels of arrays and objects in a body, at most: what reads a value recursively (its schema, JSON.stringify) overflows the
 * stack at some thousand. Found in the bytes, before JSON.parse, which builds 30 million arrays out of 32 MiB of brackets.
 */
export const MAX_BODY_DEPTH = 200;

/**
 * What a value may say and cannot be kept: NUL and half of a surrogate pair (Postgres stores neither), and numbers so large
 * that JSON.parse makes them Infinity (which JSON cannot say again). Rare in the text, so the walk below is too.
 */
const SUSPICIOUS = /\\u(?:0000|d[89a-f])|(?:^|[[:,\s])-?\d(?:[\d.]{0,199}e\+?\d{3}|[\d.]{199})/i;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * @param what the bytes are, for complaints
 * @throws DomainError InvalidJSON: not UTF-8, not JSON, nested too deeply, or a value in it cannot be kept; the description
 *   says which and where
 */
export function parseJson(body: Buffer, what = 'the body'): unknown {
  if (isDeeperThan(body, MAX_BODY_DEPTH))
    throw malformed(`Expected ${what} to be nested at most ${MAX_BODY_DEPTH} levels deep`);
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw malformed(`Expected ${what} to be JSON in UTF-8`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(`Expected ${what} to be JSON: ${sentenceOf(error)}`);
  }
  const problem = SUSPICIOUS.test(text) ? problemIn(value, what.replace('the ', '')) : null;
  if (problem !== null) throw malformed(problem);
  return value;
}

const malformed = (description: string): DomainError => new DomainError('InvalidJSON', description);

/** V8's own words, less the excerpt of the body that it may quote. */
const sentenceOf = (error: unknown): string =>
  error instanceof Error
    ? error.message.replace(
        /,? ?(?:\.\.\.)?"[\s\S]*" is not valid JSON$|,? ?(?:\.\.\.)?"[\s\S]*\.\.\. is not valid JSON$/,
        '',
      )
    : 'malformed';

/** Whether arrays and objects nest more than `limit` levels. Right for JSON; of other text it may say either. */
function isDeeperThan(json: Buffer, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < json.length; i += 1) {
    const byte = json[i];
    if (inString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      depth += 1;
      if (depth > limit) return true;
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth -= 1;
  }
  return false;
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Characters of a path that a sentence quotes. */
const QUOTED_MAX = 200;

/** What cannot be kept in this value, and where; null when all can. */
function problemIn(root: unknown, name: string): string | null {
  const nameOf = (path: string): string => (path === '' ? name : path.slice(0, QUOTED_MAX).toWellFormed());
  const stack: { at: string; value: unknown }[] = [{ at: '', value: root }];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { at, value } = next;
    if (typeof value === 'string' && isUnstorable(value))
      return `${nameOf(at)}: expected text without NUL characters and lone surrogates`;
    if (typeof value === 'number' && !Number.isFinite(value))
      return `${nameOf(at)}: expected a number that fits a double`;
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, child] of Object.entries(value)) {
      if (isUnstorable(key))
        return `A key of ${nameOf(at)}: expected text without NUL characters and lone surrogates`;
      stack.push({ at: at === '' ? key : `${at}.${key}`, value: child });
    }
  }
  return null;
}

const isUnstorable = (text: string): boolean => text.includes('\0') || !text.isWellFormed();
