import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface RunningChild {
  readonly process: ChildProcess;
  /** The next line that it prints, parsed as JSON. Rejects with its standard error when it ends instead. */
  next<T>(): Promise<T>;
  /** Sends a line and waits for its end. */
  finish(): Promise<void>;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
}

/** Another user of the machine. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  /** A folder that this user may write to. */
  readonly home: string;
}

/** Runs a TypeScript file of the repository (a path from its root) in a process of its own, perhaps as another user. */
export function startChild(file: string, args: readonly string[], as?: User): RunningChild {
  const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
    cwd: ROOT,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: as
      ? { PATH: process.env['PATH'], HOME: as.home, TMPDIR: as.home }
      : { ...process.env, NODE_OPTIONS: '' },
    ...(as ? { uid: as.uid, gid: as.gid } : {}),
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'exit');
  return {
    process: child,
    next: async <T>() => {
      const line = await lines.next();
      if (line.done) throw new Error(`${file} ended: ${errors}`);
      return JSON.parse(line.value) as T;
    },
    finish: async () => {
      child.stdin.write('finish\n');
      await ended;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Whether that user can read this repository and run this Node: under /root nobody but root can. */
export function canRunAs(uid: number): boolean {
  const check = "require('fs').accessSync('package.json')";
  return spawnSync(process.execPath, ['-e', check], { cwd: ROOT, uid, gid: uid, env: {} }).status === 0;
}
