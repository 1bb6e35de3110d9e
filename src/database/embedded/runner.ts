import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { chown } from 'node:fs/promises';

/** As whom the programs of Postgres run. */
export interface Runner {
  readonly command: (file: string, args: readonly string[]) => readonly [string, readonly string[]];
  readonly identity?: { readonly uid: number; readonly gid: number };
}

export const plain: Runner = { command: (file, args) => [file, args] };

/** In a user namespace in which we are `uid`. unshare execs the program, so the pid is the program's own. */
export const mapped = (uid: number): Runner => ({
  command: (file, args) => [
    'unshare',
    ['--user', `--map-user=${uid}`, `--map-group=${uid}`, '--', file, ...args],
  ],
});

/** As another user of the machine; only root may. */
export const user = (uid: number, gid: number): Runner => ({
  command: (file, args) => [file, args],
  identity: { uid, gid },
});

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Spawns a program of Postgres. It gets nothing of our environment: a PGDATA, LC_ALL or TZ must not change what the
 * embedded Postgres is, and its messages are read, so they are English.
 */
export function run(
  runner: Runner,
  file: string,
  args: readonly string[],
  options: { readonly stdio: StdioOptions; readonly detached?: boolean; readonly cwd?: string },
): ChildProcess {
  const [command, all] = runner.command(file, args);
  return spawn(command, all, {
    cwd: options.cwd ?? '/',
    stdio: options.stdio,
    detached: options.detached ?? false,
    windowsHide: true,
    env: { PATH, LC_ALL: 'C', TZ: 'UTC' },
    ...runner.identity,
  });
}

/** Waits for a program's end: its exit code (null: killed, or never begun) and what it wrote. */
export async function finished(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  let output = '';
  const collect = (chunk: Buffer) => (output += chunk.toString());
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, output: output + error.message }));
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** Whether the program can be run, and says yes. */
export async function runs(runner: Runner, file: string, args: readonly string[]): Promise<boolean> {
  try {
    return (await finished(run(runner, file, args, { stdio: 'ignore' }))).code === 0;
  } catch {
    return false;
  }
}

/** Hands a file that we made to the one who runs Postgres. */
export async function handOver(runner: Runner, path: string): Promise<void> {
  if (runner.identity) await chown(path, runner.identity.uid, runner.identity.gid);
}
