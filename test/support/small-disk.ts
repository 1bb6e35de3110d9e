import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { findBinaries, program } from '../../src/database/embedded/binaries.js';
import { finished, mapped, run } from '../../src/database/embedded/runner.js';
import { hasCode } from '../../src/database/start-error.js';
import { migrate } from '../../src/database/migrate.js';
import { freePort } from './service.js';
import { waitFor } from './wait-for.js';

/** Postgres refuses to be root, which we are in a namespace of our own; `nobody` has this number everywhere. */
const NOBODY = 65_534;
const IN_ITS_OWN = ['--user', '--map-root-user', '--mount', '--', 'sh', '-c'];
const SIZE_MB = 48;
const PAGE_BYTES = 4_096;

/**
 * Mounts a small disk where nobody else sees it, and runs what follows as somebody who is not root. It ends when the process that
 * has started it does, however that comes: the signal is asked for last, since a change of user takes it back.
 */
const ON_A_SMALL_DISK = `disk=$1; shift
mount -t tmpfs -o size=${SIZE_MB}m tmpfs "$disk" && exec unshare --user --map-user=${NOBODY} --map-group=${NOBODY} -- setpriv --pdeathsig QUIT "$@"`;

/** Whether this machine lets us mount a disk, as root or as an ordinary user. */
export const hasSmallDisks = (): boolean =>
  spawnSync('unshare', [...IN_ITS_OWN, ON_A_SMALL_DISK, 'sh', tmpdir(), 'true']).status === 0;

/** A Postgres of one's own whose database lies on a disk of a few megabytes; its log has room elsewhere. */
export class SmallDisk {
  private constructor(
    readonly url: string,
    private readonly folder: string,
    private readonly child: ChildProcess,
  ) {}

  /** Seen through the process that lives where the disk is mounted. */
  private get ballast(): string {
    return join(`/proc/${this.child.pid}/root`, this.folder, 'disk', 'ballast');
  }

  static async start(): Promise<SmallDisk> {
    const folder = await mkdtemp(join(tmpdir(), 'tally-small-disk-'));
    const [data, disk] = [join(folder, 'data'), join(folder, 'disk')];
    await mkdir(disk);
    const { native } = await findBinaries();
    const initdb = ['--pgdata', data, '--username', 'tally', '--auth', 'trust', '--no-sync'];
    const { code, output } = await finished(
      run(mapped(NOBODY), program(native, 'initdb'), initdb, { stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    if (code !== 0) throw new Error(`initdb failed: ${output}`);
    const port = await freePort();
    const settings = [
      `port=${port}`,
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'fsync=off',
    ].flatMap((setting) => ['-c', setting]);
    const postgres = [program(native, 'postgres'), '-D', data, ...settings];
    const child = spawn('unshare', [...IN_ITS_OWN, ON_A_SMALL_DISK, 'sh', disk, ...postgres], {
      stdio: 'ignore',
    });
    const admin = `postgresql://tally@127.0.0.1:${port}/postgres`;
    const url = `postgresql://tally@127.0.0.1:${port}/tally`;
    await once(child, 'spawn');
    const started = new SmallDisk(url, folder, child);
    try {
      await waitFor(() => makeDatabase(admin, disk), { timeoutMs: 20_000, what: 'the Postgres to start' });
      await migrate(url, () => undefined);
      return started;
    } catch (error) {
      await started.stop();
      throw error;
    }
  }

  /** A file that Postgres knows nothing of takes all the room there is. */
  async fill(): Promise<void> {
    const ballast = await open(this.ballast, 'w');
    try {
      // Whole pages, until there is none left.
      for (const page = Buffer.alloc(PAGE_BYTES); (await written(ballast, page)) > 0;);
    } finally {
      await ballast.close();
    }
  }

  empty(): Promise<void> {
    return rm(this.ballast, { force: true });
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exit = once(this.child, 'exit');
      this.child.kill('SIGQUIT');
      await exit;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function makeDatabase(admin: string, disk: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: admin });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(`CREATE TABLESPACE small LOCATION ${pg.escapeLiteral(disk)}`);
    await client.query('CREATE DATABASE tally TABLESPACE small');
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}

const written = (file: FileHandle, bytes: Buffer): Promise<number> =>
  file.write(bytes).then(
    ({ bytesWritten }) => bytesWritten,
    (error: unknown) => {
      if (hasCode(error, 'ENOSPC')) return 0;
      throw error;
    },
  );
