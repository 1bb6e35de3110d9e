import { access, readdir } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { plain, user, type Runner } from '../../src/database/embedded/runner.js';

/**
 * Postgres with all of its programs, and PgBouncer, as Debian's packages `postgresql` and `pgbouncer` bring them: the embedded
 * Postgres has no pg_basebackup.
 */
export interface Programs {
  /** Folder of initdb, postgres and pg_basebackup. */
  readonly bin: string;
  readonly pgbouncer: string;
  /** None of them runs as root. */
  readonly runner: Runner;
}

const VERSIONS = '/usr/lib/postgresql';
const PGBOUNCER = '/usr/sbin/pgbouncer';
const NEEDED = ['initdb', 'postgres', 'pg_basebackup'];
const OLDEST_POSTGRES = 15;
const NOBODY = 65_534;

/** @returns null where they are not installed */
export async function findPrograms(): Promise<Programs | null> {
  const versions = (await readdir(VERSIONS).catch(() => [])).map(Number).sort((a, b) => b - a);
  for (const version of versions.filter((version) => version >= OLDEST_POSTGRES)) {
    const bin = join(VERSIONS, String(version), 'bin');
    if (await areThere(...NEEDED.map((name) => join(bin, name)), PGBOUNCER))
      return { bin, pgbouncer: PGBOUNCER, runner: await ordinaryUser() };
  }
  return null;
}

export const MISSING = `expected Debian's packages postgresql (${OLDEST_POSTGRES} or later) and pgbouncer to be installed`;

async function areThere(...paths: string[]): Promise<boolean> {
  return Promise.all(paths.map((path) => access(path))).then(
    () => true,
    () => false,
  );
}

/** As ourselves; as root, as the user that Debian's packages have made. */
async function ordinaryUser(): Promise<Runner> {
  if (process.getuid?.() !== 0) return plain;
  return user(await idOf('-u'), await idOf('-g'));
}

async function idOf(what: '-u' | '-g'): Promise<number> {
  const { stdout } = await promisify(execFile)('id', [what, 'postgres']).catch(() => ({
    stdout: `${NOBODY}`,
  }));
  return Number(stdout);
}
