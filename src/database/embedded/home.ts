import { createHash } from 'node:crypto';
import {
  chown,
  cp,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseStartError, hasCode } from '../start-error.js';
import { type Binaries, program } from './binaries.js';
import { mapped, plain, type Runner, runs, user } from './runner.js';
import { messageOf } from '../../errors.js';

/** Where the embedded Postgres keeps its data, and how its programs are run. */
export interface Home {
  /** The data directory, absolute and without symbolic links. It may not exist yet. */
  readonly data: string;
  readonly native: string;
  readonly runner: Runner;
  /** Symbolic link to make to the data, once it exists, so that the next start finds it whatever the machine allows. */
  readonly link?: string;
}

export interface HomeOptions {
  readonly dataDir: string;
  readonly binaries: Binaries;
  readonly log: (line: string) => void;
  /** Tests pretend that the machine refuses user namespaces. */
  readonly userNamespaces?: boolean;
  /** Where data goes that must leave DATA_DIR. */
  readonly refuge?: string;
}

/**
 * Decides where the data is and as whom Postgres runs, since it refuses to be root:
 * - an ordinary user runs it directly;
 * - root on Linux runs it in a user namespace in which root has another number: it needs no user on the machine, works
 *   under /root, and the files stay root's. Rejected: a system user made for it, who cannot enter a folder of root;
 * - where user namespaces are refused (containers), as `postgres` or `nobody`, with whatever that user cannot reach
 *   (data, binaries) put under /var/lib/tally-…, and a symbolic link in DATA_DIR;
 * - data that an ordinary user owns is always run as that user, also when root comes along later.
 * @throws DatabaseStartError
 */
export async function findHome(options: HomeOptions): Promise<Home> {
  await mkdir(options.dataDir, { recursive: true }).catch((error: unknown) => {
    throw new DatabaseStartError(`DATA_DIR: ${options.dataDir} cannot be made: ${messageOf(error)}`);
  });
  const place = join(await realpath(options.dataDir), 'postgres');
  const data = await realpath(place).catch(() => undefined);
  const me = process.getuid?.();
  if (data === undefined && (await lstat(place).catch(() => undefined))) {
    throw new DatabaseStartError(
      `${place} is a link to a place that is gone: restore it, or remove the link to begin anew`,
    );
  }
  const owner = data === undefined ? undefined : await stat(data);

  if (me !== undefined && owner !== undefined && owner.uid !== me) {
    if (me !== 0)
      throw new DatabaseStartError(`The data in ${place} belongs to another user (uid ${owner.uid})`);
    return atHome(options, owner.uid, owner.gid, data ?? place);
  }
  if (me === undefined || (me !== 0 && hasName())) {
    return { data: data ?? place, native: options.binaries.native, runner: plain };
  }
  const runner = await namespace(options, dirname(place));
  if (runner) return { data: data ?? place, native: options.binaries.native, runner };
  if (me !== 0) {
    throw new DatabaseStartError(
      `Postgres cannot run as uid ${me}, which has no name in /etc/passwd: give it one, or set DATABASE_URL`,
    );
  }
  if (data !== undefined) {
    throw new DatabaseStartError(
      `The data in ${place} belongs to root, Postgres cannot run as root, and this machine refuses user namespaces ` +
        `(unshare --user): start as an ordinary user who owns the data, or set DATABASE_URL`,
    );
  }
  return unprivileged(options, place).catch((error: unknown) => {
    // A container may hold root alone, with no other user to give anything to.
    if (error instanceof DatabaseStartError) throw error;
    throw new DatabaseStartError(
      `Postgres cannot run as root, this machine refuses user namespaces (unshare --user), and running it as another ` +
        `user fails (${messageOf(error)}): start as an ordinary user, or set DATABASE_URL`,
    );
  });
}

/** The user namespace, if the machine allows one and what runs in it can reach the folder and the binaries. */
async function namespace(options: HomeOptions, folder: string): Promise<Runner | undefined> {
  if (process.platform !== 'linux' || options.userNamespaces === false) return undefined;
  const uid =
    (await passwd()).get('nobody')?.uid ?? [...(await passwd()).values()].find((e) => e.uid > 0)?.uid;
  if (uid === undefined) return undefined;
  const runner = mapped(uid);
  return (await reaches(runner, folder, options.binaries.native)) ? runner : undefined;
}

async function unprivileged(options: HomeOptions, place: string): Promise<Home> {
  const { uid, gid } = (await passwd()).get('postgres') ?? { uid: 65_534, gid: 65_534 };
  const runner = user(uid, gid);
  let data = place;
  if (!(await runs(runner, '/bin/sh', ['-c', 'cd "$0"', dirname(place)]))) {
    const name = `tally-${createHash('sha256').update(place).digest('hex').slice(0, 12)}`;
    data = join(options.refuge ?? '/var/lib', name, 'data');
    await mkdir(dirname(dirname(data)), { recursive: true });
    await mkdir(dirname(data), { recursive: true, mode: 0o700 });
    await chown(dirname(data), uid, gid);
    data = join(await realpath(dirname(data)), 'data');
  }
  options.log(
    `Postgres cannot run as root and this machine refuses user namespaces: it runs as uid ${uid}, its data is in ${data}`,
  );
  const home = await atHome(options, uid, gid, data);
  return data === place ? home : { ...home, link: place };
}

/** Runs as that user, with binaries that the user can reach. */
async function atHome(options: HomeOptions, uid: number, gid: number, data: string): Promise<Home> {
  const runner = user(uid, gid);
  const { native, version } = options.binaries;
  if (await runs(runner, program(native, 'postgres'), ['--version'])) return { data, native, runner };
  const copy = join(dirname(data), `postgres-${version}`);
  if (!(await stat(copy).catch(() => undefined))) {
    // Copied aside and renamed, so that what has the name is whole; of two who copy at once, one wins.
    const draft = `${copy}.${process.pid}.tmp`;
    await cp(await realpath(native), draft, { recursive: true, verbatimSymlinks: true });
    await giveAway(draft, uid, gid);
    await rename(draft, copy).catch(async (error: unknown) => {
      await rm(draft, { recursive: true, force: true });
      if (!hasCode(error, 'EEXIST', 'ENOTEMPTY')) throw error;
    });
  }
  if (await runs(runner, program(copy, 'postgres'), ['--version'])) return { data, native: copy, runner };
  throw new DatabaseStartError(
    `Postgres cannot be run as uid ${uid} from ${copy}: is the volume mounted noexec?`,
  );
}

/** Root's umask may have made the originals readable by root alone. */
async function giveAway(folder: string, uid: number, gid: number): Promise<void> {
  await lchown(folder, uid, gid);
  for (const name of await readdir(folder, { recursive: true })) await lchown(join(folder, name), uid, gid);
}

/** Whether who runs there may write to the folder and run the binaries: root in a namespace is no longer almighty. */
function reaches(runner: Runner, folder: string, native: string): Promise<boolean> {
  return runs(runner, '/bin/sh', [
    '-c',
    'test -w "$0" && "$1" --version',
    folder,
    program(native, 'postgres'),
  ]);
}

function hasName(): boolean {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
}

/** The users of the machine: initdb looks its own up by number and refuses to run as one without a name. */
async function passwd(): Promise<Map<string, { uid: number; gid: number }>> {
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [name, , uid, gid] = line.split(':');
      return name && uid && gid ? [[name, { uid: Number(uid), gid: Number(gid) }]] : [];
    }),
  );
}
