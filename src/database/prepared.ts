import { hash } from 'node:crypto';
import pg from 'pg';

/** What the statements have in common that go to node-postgres and not through Prisma's client. */

const INT8 = 20;

const parserOf = pg.types.getTypeParser as (oid: number, format?: string) => unknown;

/** As Prisma reads them, where the two differ: node-postgres makes a text of a bigint. */
export const TYPES = {
  getTypeParser: ((oid: number, format?: string) =>
    oid === INT8 ? BigInt : parserOf(oid, format)) as typeof pg.types.getTypeParser,
};

/** Texts of hot statements are a few dozen: those made of parts differ where a part is left out. */
const NAMES_MAX = 1_000;
const names = new Map<string, string>();

/** The name under which a connection keeps a prepared statement: one a text, or node-postgres refuses the second. */
export function preparedName(name: string, text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  const made = `${name}_${hash('sha256', text, 'hex').slice(0, 12)}`;
  if (names.size < NAMES_MAX) names.set(text, made);
  return made;
}
