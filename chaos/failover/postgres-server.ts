import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { hasExited } from '../../src/database/embedded/server.js';
import { finished, handOver, run } from '../../src/database/embedded/runner.js';
import { hasCode } from '../../src/database/start-error.js';
import { freePort } from '../ports.js';
import { OBSERVER } from '../database.js';
import type { Programs } from './programs.js';

export const OWNER = 'tally';
/** What a standby calls itself, so that its primary can be told to wait for it. */
export const STANDBY = 'standby';
const START_MS = 60_000;
/** Time for a kill to be through on a busy machine. */
const GONE_MS = 10_000;
/** Of postmaster.pid: key and id of the segment of shared memory. */
const SEGMENT_LINE = 6;

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  // A standby that was away for the time of a restart goes on where it was.
  wal_keep_size: '512MB',
  wal_retrieve_retry_interval: '200ms',
  // Within the data directory: what a kill -9 leaves behind goes with it.
  dynamic_shared_memory_type: 'mmap',
};

/** One server of Debian's Postgres on a data directory of its own: a primary, or the standby of one. */
export class PostgresServer {
  #child: ChildProcess | null = null;

  private constructor(
    private readonly programs: Programs,
    private readonly folder: string,
    private readonly password: string,
    readonly port: number,
  ) {}

  /** @param folder that the runner can write to; @param name of the data directory in it */
  static async create(programs: Programs, folder: string, name: string, password: string) {
    return new PostgresServer(programs, join(folder, name), password, await freePort());
  }

  url(database: string): string {
    return `postgresql://${OWNER}:${this.password}@127.0.0.1:${this.port}/${database}`;
  }

  /** An empty cluster. */
  async init(): Promise<void> {
    const path = `${this.folder}.password`;
    await writeFile(path, this.password, { mode: 0o600 });
    await handOver(this.programs.runner, path);
    const args = ['--pgdata', this.folder, '--username', OWNER, '--pwfile', path, '--auth', 'scram-sha-256'];
    await this.#run('initdb', [
      ...args,
      '--encoding',
      'UTF8',
      '--locale',
      'C',
      '--no-instructions',
      '--no-sync',
    ]);
  }

  /** Becomes a standby: everything anew from the primary. @throws Error when the primary went away meanwhile */
  async copy(primary: PostgresServer): Promise<void> {
    await this.crash();
    await this.#forget();
    const from = `${primary.url('postgres')}?application_name=${STANDBY}`;
    const args = ['--pgdata', this.folder, '--dbname', from, '--checkpoint', 'fast', '--no-sync'];
    await this.#run('pg_basebackup', [...args, '--wal-method', 'stream', '--write-recovery-conf']);
    await this.start();
  }

  /** Starts it, and waits until it answers. */
  async start(): Promise<void> {
    const log = await open(`${this.folder}.log`, 'a', 0o600);
    const args = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.#child = run(
      this.programs.runner,
      join(this.programs.bin, 'postgres'),
      ['-D', this.folder, '-p', String(this.port), ...args],
      { stdio: ['ignore', log.fd, log.fd], detached: true, cwd: this.folder },
    );
    await log.close();
    const byMs = Date.now() + START_MS;
    while ((await this.query('SELECT 1').catch(() => null)) === null) {
      if (Date.now() > byMs || hasExited(this.#child))
        throw new Error(`Postgres did not start: see ${this.folder}.log`);
      await sleep(25);
    }
  }

  /** One statement as the superuser, on a connection of its own. */
  async query<T extends pg.QueryResultRow>(text: string, database = 'postgres'): Promise<T[]> {
    const client = new pg.Client({
      connectionString: this.url(database),
      application_name: OBSERVER,
      connectionTimeoutMillis: 2_000,
      query_timeout: 30_000,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return (await client.query<T>(text)).rows;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** Every process of it exits at once, without a goodbye. */
  async shutDown(): Promise<void> {
    await this.#end((pid) => send(pid, 'SIGQUIT'));
  }

  /**
   * The machine is gone: kill -9 of every process in the same moment. All are stopped first, since a backend that waits for the
   * standby and sees its postmaster die would show a commit that the standby may not have.
   */
  async crash(): Promise<void> {
    await this.#end((pid) => {
      send(pid, 'SIGSTOP');
      const children = childrenOf(pid);
      for (const child of children) send(child, 'SIGSTOP');
      for (const one of [pid, ...children]) send(one, 'SIGKILL');
    });
  }

  /** Ends it, and leaves nothing behind. */
  async remove(): Promise<void> {
    await this.shutDown();
    await this.#forget();
  }

  async #end(how: (pid: number) => void): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child?.pid || hasExited(child)) return;
    const gone = once(child, 'exit', { signal: AbortSignal.timeout(GONE_MS) });
    how(child.pid);
    await gone;
  }

  /** Removes its data, and the segment of shared memory that a killed one leaves behind. */
  async #forget(): Promise<void> {
    const pidFile = await readFile(join(this.folder, 'postmaster.pid'), 'utf8').catch(() => '');
    const segment = pidFile.split('\n')[SEGMENT_LINE]?.trim().split(/\s+/)[1];
    if (segment) await finished(run(this.programs.runner, 'ipcrm', ['-m', segment], { stdio: 'ignore' }));
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  async #run(name: string, args: readonly string[]): Promise<void> {
    const { runner, bin } = this.programs;
    const child = run(runner, join(bin, name), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const { code, output } = await finished(child);
    if (code !== 0) throw new Error(`${name} failed: ${output.trim().split('\n').slice(-3).join(' | ')}`);
  }
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

/** A process that is gone already needs no signal. */
function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}
