import { MAX_JSON_DEPTH } from './job.js';

/**
 * An escape that JSON allows and Postgres cannot store as text: NUL, or half of a surrogate pair (JSON.stringify writes
 * whole pairs as themselves and lone halves as escapes). An even number of backslashes before it means a literal one.
 */
const UNSTORABLE_ESCAPE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** Why Postgres could not store this JSON text (as JSON.stringify wrote it) and hand it out again; null when it can. */
export function whyNotStorable(text: string): string | null {
  if (UNSTORABLE_ESCAPE.test(text)) return 'it has a NUL character or a lone surrogate';
  if (isDeeperThan(text, MAX_JSON_DEPTH)) return `it is nested more than ${MAX_JSON_DEPTH} levels deep`;
  return null;
}

/** Whether arrays and objects nest more than `limit` levels in this JSON text. */
function isDeeperThan(text: string, limit: number): boolean {
  if (text.length <= 2 * limit) return false;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i += 1;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x5b || code === 0x7b) {
      depth += 1;
      if (depth > limit) return true;
    } else if (code === 0x5d || code === 0x7d) depth -= 1;
  }
  return false;
}

/** Arrays as JSON text, as one. */
export const joinArrays = (arrays: readonly string[]): string => {
  const [only] = arrays;
  if (only !== undefined && arrays.length === 1) return only;
  const items = arrays.map((array) => array.slice(1, -1));
  return `[${items.filter((some) => some !== '').join(',')}]`;
};
