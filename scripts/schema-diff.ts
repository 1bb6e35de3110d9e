import type { SqlResultSet } from '@prisma/driver-adapter-utils';
import type pg from 'pg';
import { createEngine } from '../src/database/schema-engine.js';

const CHAR_OID = 18;
const TEXT_OID = 25;
const CHARACTER: SqlResultSet['columnTypes'][number] = 6;

/**
 * What Prisma would change in the database to have the tables of the datamodel, as SQL; empty when they agree. What the
 * datamodel cannot say (CHECKs, partial indexes, triggers, storage) the engine neither reads nor drops: schema.sql shows
 * it.
 * @param datamodel text of schema.prisma
 */
export async function schemaDiff(session: pg.Client, datamodel: string): Promise<string> {
  const fields = rememberFields(session);
  const engine = await createEngine(session, (adapter) => {
    const query = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (statement) => {
      const result = await query(statement);
      const chars = fields();
      return { ...result, columnTypes: result.columnTypes.map((type, i) => (chars[i] ? CHARACTER : type)) };
    };
  });
  const files = [{ path: 'schema.prisma', content: datamodel }];
  const { stdout } = await engine.diff({
    from: { tag: 'schemaDatasource', files, configDir: '.' },
    to: { tag: 'schemaDatamodel', files },
    script: true,
    exitCode: null,
    filters: { externalTables: [], externalEnums: [] },
  });
  engine.free();
  const script = (stdout ?? '').trim();
  return script === '-- This is an empty migration.' ? '' : script;
}

/**
 * The adapter refuses the catalog's type "char", which the engine asks for. To the adapter it is given as text, and the
 * returned function tells which columns of the last result it was.
 */
function rememberFields(session: pg.Client): () => boolean[] {
  let last: boolean[] = [];
  const query = session.query.bind(session) as (...args: unknown[]) => Promise<pg.QueryResult>;
  const remembering = async (...args: unknown[]) => {
    const result = await query(...args);
    last = result.fields.map((field) => field.dataTypeID === CHAR_OID);
    for (const field of result.fields) if (field.dataTypeID === CHAR_OID) field.dataTypeID = TEXT_OID;
    return result;
  };
  Object.assign(session, { query: remembering });
  return () => last;
}
