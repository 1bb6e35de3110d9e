import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../start-error.js';
import { program } from './binaries.js';
import type { Home } from './home.js';
import { isPostmaster } from './postmaster.js';
import { finished, run } from './runner.js';
import { hasExited, type Server } from './server.js';

const FAST_MS = 30_000;
const IMMEDIATE_MS = 5_000;

/**
 * Ends the server in its fast way: connections are cut, what was committed is written. If that takes longer than 30 s, at
 * once, and the next start recovers. Returns when the process is gone.
 */
export async function shutDown(server: Server, home: Home, log: (line: string) => void): Promise<void> {
  // Windows has no signals: Node would kill. pg_ctl knows how Postgres is told there.
  if (process.platform === 'win32') {
    const args = ['stop', '-D', home.data, '-m', 'fast', '-w', '-t', String(FAST_MS / 1000)];
    await finished(run(home.runner, program(home.native, 'pg_ctl'), args, { stdio: 'ignore' }));
    return;
  }
  if (!(await isRunning(server, home))) return;
  signal(server.pid, 'SIGINT');
  if (await gone(server, home, FAST_MS)) return;
  log(`Embedded Postgres (pid ${server.pid}) did not stop within ${FAST_MS / 1000} s: it is stopped at once`);
  signal(server.pid, 'SIGQUIT');
  await gone(server, home, IMMEDIATE_MS);
}

async function gone(server: Server, home: Home, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (await isRunning(server, home)) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

async function isRunning(server: Server, home: Home): Promise<boolean> {
  return server.child ? !hasExited(server.child) : isPostmaster(server.pid, home.data);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}
