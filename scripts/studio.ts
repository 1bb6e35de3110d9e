/**
 * `npm run studio`: Prisma Studio on the database of the service: that of DATABASE_URL, or the embedded one under
 * DATA_DIR, whether the service runs on it or not. Needs nothing from the network.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseConfig, type Config } from '../src/config/config.js';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { StartError } from '../src/errors.js';
import { bridgePort } from './port-bridge.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const USAGE = `npm run studio -- [--port 5555] [--browser NAME|none] [--all-addresses]

  --port           where Studio answers, on 127.0.0.1
  --browser        what to open it in; without a terminal the default is none
  --all-addresses  answer on the machine's other addresses too, for a container: whoever reaches it can write everything
`;
const STOP_MS = 2_000;

interface Options {
  readonly port: number;
  readonly browser: string | undefined;
  readonly allAddresses: boolean;
}

function readOptions(): Options {
  const values = parse();
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new StartError(`--port: expected a whole number from 1 to 65535, got: ${values.port}\n`);
  const browser = values.browser ?? (process.stdout.isTTY ? process.env['BROWSER'] : 'none');
  return { port, browser, allAddresses: values['all-addresses'] };
}

function parse() {
  try {
    return parseArgs({
      options: {
        port: { type: 'string', default: '5555' },
        browser: { type: 'string' },
        'all-addresses': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new StartError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

/** Only looks: it is the service that makes a database and brings it up to date. */
async function findDatabase(config: Config): Promise<{ url: string; close: () => Promise<void> }> {
  if (config.DATABASE_URL !== undefined) return { url: config.DATABASE_URL, close: () => Promise.resolve() };
  if (!existsSync(join(config.DATA_DIR, 'postgres'))) {
    throw new StartError(
      `There is no database under ${config.DATA_DIR} yet: "npm start" makes one; or set DATABASE_URL or DATA_DIR`,
    );
  }
  // Takes the server that the service runs, or starts one; at the end it is left to the service if that uses it.
  const postgres = await startEmbeddedPostgres({
    dataDir: config.DATA_DIR,
    log: (line) => console.log(line),
  });
  return { url: postgres.url, close: () => postgres.stop() };
}

/** Studio itself would end with a stack trace, or worse, share the port with another program. */
async function checkPort(port: number): Promise<void> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch (error) {
    throw new StartError(`--port: ${port} cannot be used (${(error as Error).message})\n`);
  }
  server.close();
  await once(server, 'close');
}

async function runStudio(url: string, { port, browser }: Options): Promise<number> {
  const prisma = createRequire(import.meta.url).resolve('prisma/build/index.js');
  const browserArgs = browser === undefined ? [] : ['--browser', browser];
  const child = spawn(process.execPath, [prisma, 'studio', '--port', String(port), ...browserArgs], {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      // Through prisma.config.ts, not as --url: everyone on the machine can read the arguments of a process.
      DATABASE_URL: url,
      // The command line would download its schema engine, which Studio does not use. Any program will do.
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      // Neither usage reports nor a look for updates.
      CHECKPOINT_DISABLE: '1',
    },
  });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const stopping = new AbortController();
  const stop = () => {
    stopping.abort();
    child.kill('SIGTERM');
    // It waits for its browser, which keeps its connections.
    setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  const [code] = await ended;
  return stopping.signal.aborted ? 0 : (code ?? 1);
}

async function main(): Promise<number> {
  const options = readOptions();
  const config = parseConfig(process.env);
  await checkPort(options.port);
  const database = await findDatabase(config);
  try {
    if (options.allAddresses) await bridgePort(options.port);
    return await runStudio(database.url, options);
  } finally {
    await database.close();
  }
}

process.exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof StartError)) throw error;
  process.stderr.write(`${error.message.trimEnd()}\n`);
  return 1;
});
