import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { link, readFile, readlink, realpath, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { hasCode } from '../start-error.js';

/** A running server of a data directory, from the file in which Postgres writes itself down. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
}

/**
 * The server that holds this data directory, if it lives. Its pid file outlives a kill -9, and the number in it may since
 * have been given to another program, on which Postgres itself would refuse to start: such a file is removed.
 */
export async function findPostmaster(folder: string): Promise<Postmaster | undefined> {
  const data = await realpath(folder).catch(() => folder);
  const path = join(data, 'postmaster.pid');
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (pid > 0 && (await isPostmaster(pid, data))) return port > 0 ? { pid, port } : undefined;
  if (pid > 0) await removeStale(path, text);
  return undefined;
}

/**
 * Whether the process is a Postgres server of this data directory. A zombie is not.
 * @param data without symbolic links
 */
export async function isPostmaster(pid: number, data: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (!hasCode(error, 'EPERM')) return false;
  }
  if (process.platform === 'linux') return isPostmasterOnLinux(pid, data);
  if (process.platform === 'win32') return true;
  const ps = promisify(execFile)('ps', ['-p', String(pid), '-o', 'command=']);
  return (await ps.then((result) => result.stdout).catch(() => '')).includes('postgres');
}

async function isPostmasterOnLinux(pid: number, data: string): Promise<boolean> {
  // Empty for a zombie. A child of Postgres calls itself "postgres: what it does".
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const args = command.split('\0');
  if (basename(args[0] ?? '') !== 'postgres') return false;
  // Postgres works in its data directory. A container may forbid to look; then the command line has to do.
  const folder = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return folder === undefined ? args.includes(data) : folder === data;
}

/** Removes the pid file if it still is the one that was read: a live server may have written its own meanwhile. */
async function removeStale(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomBytes(4).toString('hex')}.stale`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, 'utf8')) !== text) await link(aside, path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'EEXIST')) throw error;
  } finally {
    await rm(aside, { force: true });
  }
}
