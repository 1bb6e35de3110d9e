import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { handOver, run, type Runner } from '../../src/database/embedded/runner.js';
import { freePort } from '../ports.js';

const START_MS = 10_000;

export interface PoolerOptions {
  /** Where its files go; it must be one that the runner can enter. */
  readonly folder: string;
  readonly pgbouncer: string;
  readonly runner: Runner;
  readonly user: string;
  readonly password: string;
}

/**
 * PgBouncer in transaction mode before a server: every database of the server under its own name. It knows no named prepared
 * statements (1.18), refuses parameters at the start of a connection, and a session lasts one transaction.
 */
export class Pooler {
  #child: ChildProcess | null = null;

  private constructor(
    private readonly options: PoolerOptions,
    readonly port: number,
  ) {}

  /** @param target port of the server on 127.0.0.1 */
  static async start(options: PoolerOptions, target: number): Promise<Pooler> {
    const pooler = new Pooler(options, await freePort());
    const { folder, runner, user, password } = options;
    await mkdir(folder, { recursive: true });
    await handOver(runner, folder);
    await pooler.#write('users.txt', `"${user}" "${password}"\n`);
    await pooler.point(target);
    await pooler.#spawn();
    return pooler;
  }

  url(database: string): string {
    const { user, password } = this.options;
    return `postgresql://${user}:${password}@127.0.0.1:${this.port}/${database}`;
  }

  /** Leads all transactions that begin from now on to another server. Clients stay connected. */
  async point(target: number): Promise<void> {
    await this.#write('pgbouncer.ini', configOf(this.port, target, this.options));
    this.#child?.kill('SIGHUP');
  }

  /** kill -9: every connection is gone. It is started again after `downMs`. */
  async restart(downMs: number): Promise<void> {
    await this.stop('SIGKILL');
    await sleep(downMs);
    await this.#spawn();
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async #spawn(): Promise<void> {
    const { runner, pgbouncer, folder } = this.options;
    this.#child = run(runner, pgbouncer, [join(folder, 'pgbouncer.ini')], {
      stdio: 'ignore',
      detached: true,
    });
    const byMs = Date.now() + START_MS;
    while (!(await this.#listens())) {
      if (Date.now() > byMs) throw new Error(`PgBouncer did not start: see ${join(folder, 'pgbouncer.log')}`);
      await sleep(20);
    }
  }

  /** Its own console answers whether or not there is a server. */
  async #listens(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.url('pgbouncer'), connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async #write(name: string, text: string): Promise<void> {
    const path = join(this.options.folder, name);
    await writeFile(path, text, { mode: 0o600 });
    await handOver(this.options.runner, path);
  }
}

/** What the README tells to set, and otherwise what Debian has. */
const configOf = (port: number, target: number, { folder, user }: PoolerOptions): string => `[databases]
* = host=127.0.0.1 port=${target}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users.txt')}
admin_users = ${user}
logfile = ${join(folder, 'pgbouncer.log')}
pool_mode = transaction
max_client_conn = 500
default_pool_size = 40
server_login_retry = 1
query_wait_timeout = 20
`;
