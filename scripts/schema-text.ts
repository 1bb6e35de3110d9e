import type pg from 'pg';

/**
 * Everything that the migrations made, read back from the catalog in a stable order and written as SQL for people. Tables
 * by name, columns in their order, then what belongs to the table. Prisma's own table is left out.
 */
export async function schemaText(session: pg.Client): Promise<string> {
  const tables = await list(session, TABLES);
  const parts: string[] = [];
  for (const { oid, name, options } of tables) {
    const lines = await list(session, MEMBERS, oid);
    const body = lines.map(({ text }) => `  ${text}`).join(',\n');
    const rest = await list(session, BELONGINGS, oid);
    const head = `CREATE TABLE ${name} (\n${body}\n)${options ? ` WITH (${options})` : ''};`;
    parts.push([head, ...rest.map(({ text }) => `${text};`)].join('\n'));
  }
  const others = await list(session, OTHERS);
  return [...parts, ...others.map(({ text }) => `${text.trimEnd()};`)].join('\n\n') + '\n';
}

type Row = Record<'oid' | 'name' | 'options' | 'text', string>;

async function list(session: pg.Client, sql: string, table?: string): Promise<Row[]> {
  return (await session.query<Row>(sql, table === undefined ? [] : [table])).rows;
}

const TABLES = `
  SELECT c.oid, quote_ident(c.relname) AS name, array_to_string(c.reloptions, ', ') AS options
  FROM pg_class c
  WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relname <> '_prisma_migrations'
  ORDER BY c.relname`;

/** Columns, then constraints: keys first. Of Postgres 18 on, NOT NULL is a constraint too; it stands at its column. */
const MEMBERS = `
  SELECT text FROM (
    SELECT 1 AS kind, a.attnum::int AS place, '' AS label, concat_ws(' ',
      quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
      CASE WHEN a.attnotnull THEN 'NOT NULL' END,
      CASE WHEN d.adbin IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END) AS text
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 2, position(c.contype::text IN 'pufxc'), c.conname,
      format('CONSTRAINT %I %s', c.conname, pg_get_constraintdef(c.oid, true))
    FROM pg_constraint c WHERE c.conrelid = $1 AND c.contype IN ('p', 'u', 'f', 'x', 'c')
  ) member ORDER BY kind, place, label`;

/** Storage that was changed, indexes that are no key's, triggers. */
const BELONGINGS = `
  SELECT text FROM (
    SELECT 1 AS kind, a.attname AS label, format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', a.attrelid::regclass,
      a.attname, CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END) AS text
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attstorage <> t.typstorage
    UNION ALL
    SELECT 2, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
    FROM pg_index i WHERE i.indrelid = $1 AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid
      AND c.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 3, t.tgname, pg_get_triggerdef(t.oid, true) FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal
  ) belonging ORDER BY kind, label`;

/** Views, enumerated types and functions. */
const OTHERS = `
  SELECT text FROM (
    SELECT 1 AS kind, c.relname::text AS label, format('CREATE VIEW %I AS%s%s', c.relname, E'\\n',
      rtrim(pg_get_viewdef(c.oid, true), ';')) AS text
    FROM pg_class c WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 2, t.typname, format('CREATE TYPE %I AS ENUM (%s)', t.typname,
      (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
    FROM pg_type t WHERE t.typtype = 'e' AND t.typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 3, p.oid::regprocedure::text, pg_get_functiondef(p.oid)
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
  ) other ORDER BY kind, label`;
