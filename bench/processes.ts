import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LoadRequest, LoadResult } from './load.js';

/** Processes beside the service, and what the machine says of any of them. */

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const run = promisify(execFile);

/** Clients of a process of their own. @returns when they have done what was asked */
export async function load(request: LoadRequest): Promise<LoadResult> {
  const running = run(process.execPath, ['--import', 'tsx', fileOf('./load.ts')]);
  running.child.stdin?.end(JSON.stringify(request));
  return JSON.parse((await running).stdout) as LoadResult;
}

/** Starts a script of this folder that prints a line when it is ready. */
export async function background(name: string, ...args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', fileOf(name), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

/** The most memory that a process has had, in MiB. */
export function peakMib(pid: number): number {
  const kib = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

const TICKS_PER_SECOND = 100;

/** Processor seconds of a process so far, and of its children that have ended. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}

/** Processor seconds of a Postgres: the postmaster, its backends, and those that have gone. */
export async function postgresCpuSeconds(postmaster: number): Promise<number> {
  let seconds = cpuSeconds(postmaster);
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    if (Number(stat.split(') ')[1]?.split(' ')[1]) === postmaster) seconds += cpuSeconds(Number(name));
  }
  return seconds;
}
