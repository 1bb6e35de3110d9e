import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, type SqlDriverAdapter } from '@prisma/driver-adapter-utils';
import type { MigrationList, SchemaEngine } from '@prisma/schema-engine-wasm';
import type * as Engine from '@prisma/schema-engine-wasm/schema_engine_bg';
import pg from 'pg';

/** A folder of prisma/migrations: its name and the SQL in it. */
export interface Migration {
  readonly name: string;
  readonly script: string;
}

type EngineModule = typeof Engine;

/** What of it is used here: Node's types leave it to those of the browser. */
declare const WebAssembly: {
  instantiate(
    bytes: Uint8Array,
    imports: Record<string, unknown>,
  ): Promise<{ instance: { exports: Record<string, unknown> } }>;
};

const DATASOURCE = 'datasource db {\n  provider = "postgresql"\n}\n';
let loaded: Promise<EngineModule> | undefined;

/**
 * Prisma's own schema engine as WebAssembly, since `prisma migrate deploy` downloads a binary first. Measured: 55 ms to
 * load it, 55 ms to make one.
 * @param session every statement of the engine goes through this one connection, and so into its open transaction
 * @param adapt changes the adapter before the engine gets it
 */
export async function createEngine(
  session: pg.Client,
  adapt: (adapter: SqlDriverAdapter) => void = () => undefined,
): Promise<SchemaEngine> {
  const { SchemaEngine } = await (loaded ??= load());
  // The adapter takes a pool. This one never opens a connection: a lost session must fail, not go on in a new one.
  const pool = Object.assign(new pg.Pool(), { query: session.query.bind(session) });
  const factory = new PrismaPg(pool);
  const connect = factory.connect.bind(factory);
  factory.connect = async () => {
    const adapter = await connect();
    // The adapter splits a script at every semicolon, also those inside $$ bodies. One simple query takes it whole.
    adapter.executeScript = async (script) => {
      await session.query(script);
    };
    adapt(adapter);
    return adapter;
  };
  return SchemaEngine.new(
    { datamodels: [['schema.prisma', DATASOURCE]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(factory),
  );
}

/** The migrations in the shape of the engine. */
export function listFor(migrations: readonly Migration[], lockfile: string): MigrationList {
  return {
    baseDir: 'migrations',
    lockfile: { path: 'migration_lock.toml', content: lockfile },
    shadowDbInitScript: '',
    migrationDirectories: migrations.map(({ name, script }) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: script } },
    })),
  };
}

async function load(): Promise<EngineModule> {
  // Where the engine puts the words of a panic before it traps; without it the trap is all that would be seen.
  Object.assign(globalThis, { PRISMA_WASM_PANIC_REGISTRY: { set_message: tellPanic } });
  const engine = await import('@prisma/schema-engine-wasm/schema_engine_bg');
  const path = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const { instance } = await WebAssembly.instantiate(await readFile(path.replace(/\.js$/, '.wasm')), {
    './schema_engine_bg.js': { ...engine, ...looseTimers(engine) },
  });
  engine.__wbg_set_wasm(instance.exports);
  (instance.exports['__wbindgen_start'] as () => void)();
  return engine;
}

/**
 * The engine gives up on its lock after 10 s by a timer, and never clears it: a short program (the command line, a test
 * run) would stay 10 s longer. The same timers, without holding the process.
 */
function looseTimers(engine: EngineModule): Record<string, unknown> {
  const names = Object.keys(engine).filter((name) => name.startsWith('__wbg_setTimeout_'));
  return Object.fromEntries(
    names.map((name) => [name, (callback: () => void, ms: number) => setTimeout(callback, ms).unref()]),
  );
}

function tellPanic(message: string): never {
  throw new Error(`Prisma's schema engine panicked: ${message}`);
}
