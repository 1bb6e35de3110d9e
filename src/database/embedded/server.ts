import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { DatabaseStartError, hasCode } from '../start-error.js';
import { program } from './binaries.js';
import { OWNER } from './cluster.js';
import type { Home } from './home.js';
import { findPostmaster, isPostmaster, type Postmaster } from './postmaster.js';
import { handOver, run } from './runner.js';

export interface ServerOptions {
  readonly home: Home;
  readonly password: string;
  /** Where Postgres writes its log: a file, since a pipe would end with us and take Postgres along. */
  readonly logFile: string;
  readonly log: (line: string) => void;
  /** Whether commits survive the machine. A kill -9 of Postgres they survive anyhow. */
  readonly durable: boolean;
}

/** A server that answers. `child` is there when this process started it. */
export interface Server extends Postmaster {
  readonly child?: ChildProcess;
}

const LOG_MAX_BYTES = 10 * 1024 * 1024;
const TRANSIENT_MS = 15_000;
/** What a start may fail with when another start won, or the children of a killed server are still leaving. */
const TRANSIENT =
  /lock file "postmaster.pid" already exists|pre-existing shared memory block|lock file .* is empty/;
const PORT_TAKEN = /could not bind|could not create any TCP\/IP sockets/;

/**
 * Takes the server that runs on this data, or starts one, and waits until it answers. Processes that come at once may
 * all try: Postgres lets one in, the others take that one.
 * @param port the port it must have, since others already know it; undefined: the last one if it is free, or any
 * @throws DatabaseStartError with the last lines of Postgres's log
 */
export async function takeServer(options: ServerOptions, port?: number): Promise<Server> {
  const deadline = Date.now() + TRANSIENT_MS;
  for (let attempt = 1; ; attempt += 1) {
    const found = await findPostmaster(options.home.data);
    if (found && (await untilReady(options, found))) return found;
    const failure = await startServer(options, port ?? (await choosePort(options.home.data, attempt)));
    if ('pid' in failure) return failure;
    const passes = TRANSIENT.test(failure.log) || (port === undefined && PORT_TAKEN.test(failure.log));
    if (!passes || Date.now() > deadline) {
      throw new DatabaseStartError(
        `The embedded Postgres did not start: ${failure.log} (see ${options.logFile})`,
      );
    }
    await sleep(Math.min(50 * attempt, 500));
  }
}

/** The URL of a database on the server. */
export function urlOf(port: number, password: string, database: string): string {
  return `postgresql://${OWNER}:${password}@127.0.0.1:${port}/${database}`;
}

async function startServer(options: ServerOptions, port: number): Promise<Server | { log: string }> {
  const { home, logFile } = options;
  const begin = await rotate(logFile);
  const output = await open(logFile, 'a', 0o600);
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    // TCP alone: the path of a socket may be 107 bytes at most, and DATA_DIR may be longer.
    unix_socket_directories: '',
    max_connections: '200',
    log_checkpoints: 'off',
    ...(options.durable ? {} : { fsync: 'off', full_page_writes: 'off' }),
  };
  let child: ChildProcess;
  try {
    child = run(
      home.runner,
      program(home.native, 'postgres'),
      [
        '-D',
        home.data,
        '-p',
        String(port),
        ...Object.entries(settings).flatMap(([k, v]) => ['-c', `${k}=${v}`]),
      ],
      // A session of its own: neither Ctrl-C in our terminal nor our death ends it before the service has drained.
      { stdio: ['ignore', output.fd, output.fd], detached: true, cwd: home.data },
    );
  } finally {
    await output.close();
  }
  child.once('error', () => undefined);
  child.unref();
  const pid = child.pid;
  if (pid !== undefined && (await untilReady(options, { pid, port }, child))) {
    await rememberPort(home, port);
    return { pid, port, child };
  }
  return { log: await tail(logFile, begin) };
}

/**
 * Waits until the server answers us, which after a crash takes as long as its recovery.
 * @returns false when its process ends first
 * @throws DatabaseStartError when it is no server of ours
 */
async function untilReady(
  options: ServerOptions,
  server: Postmaster,
  child?: ChildProcess,
): Promise<boolean> {
  const begun = Date.now();
  let told = begun;
  for (;;) {
    const answer = await ask(urlOf(server.port, options.password, 'postgres'));
    if (answer === 'yes') return true;
    if (answer === 'refused') {
      throw new DatabaseStartError(
        `The Postgres on port ${server.port} does not take the password in ${options.home.data}/tally.password`,
      );
    }
    const alive = child ? !hasExited(child) : await isPostmaster(server.pid, options.home.data);
    if (!alive) return false;
    if (Date.now() - told > 5_000) {
      told = Date.now();
      options.log(
        `Waiting for the embedded Postgres (pid ${server.pid}) for ${Math.round((told - begun) / 1000)} s`,
      );
    }
    await sleep(25);
  }
}

/** Whether a child is gone, or never was. */
export function hasExited(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function ask(url: string): Promise<'yes' | 'no' | 'refused'> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return 'yes';
  } catch (error) {
    return hasCode(error, '28P01', '28000') ? 'refused' : 'no';
  } finally {
    await client.end().catch(() => undefined);
  }
}

const portFile = (data: string): string => join(data, 'tally.port');

/** The last port, so that processes which still know it find the server again; on a second try any free one. */
async function choosePort(data: string, attempt: number): Promise<number> {
  const last = Number(await readFile(portFile(data), 'utf8').catch(() => '0'));
  if (attempt === 1 && last > 0 && (await bind(last))) return last;
  return bind(0);
}

/** @returns the port that could be bound, 0 if none */
async function bind(port: number): Promise<number> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  } catch {
    return 0;
  } finally {
    server.close();
  }
}

async function rememberPort(home: Home, port: number): Promise<void> {
  await writeFile(portFile(home.data), String(port), { mode: 0o600 });
  await handOver(home.runner, portFile(home.data));
}

/** Keeps the log from growing for ever: one older file at most. @returns the size of the log as it is now, in bytes */
async function rotate(logFile: string): Promise<number> {
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  if (size < LOG_MAX_BYTES) return size;
  await rename(logFile, `${logFile}.1`).catch(() => undefined);
  return 0;
}

async function tail(logFile: string, begin: number): Promise<string> {
  const text = (await readFile(logFile).catch(() => Buffer.alloc(0))).subarray(begin).toString();
  return text.trim().split('\n').slice(-5).join(' | ') || 'it said nothing';
}
