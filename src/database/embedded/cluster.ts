import { randomBytes } from 'node:crypto';
import {
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseStartError, hasCode } from '../start-error.js';
import { POSTGRES_MAJOR, program } from './binaries.js';
import type { Home } from './home.js';
import { finished, handOver, run } from './runner.js';

/** The superuser of the embedded Postgres, and the name of its database. */
export const OWNER = 'tally';

const DRAFT = /^\.postgres-init-(\d+)-[0-9a-f]+$/;
const ABANDONED_AFTER_MS = 3_600_000;

/**
 * Makes the data directory unless there is one. initdb works in a draft beside it, which is renamed into place whole: a
 * kill at any moment leaves either nothing or everything, and of two processes that begin at once one wins and the other
 * drops its draft. The password is in the draft too, so data and password cannot come from different processes.
 * @param durable whether what is made must survive the machine: syncing it takes two thirds of the time
 * @returns the password of the superuser
 * @throws DatabaseStartError
 */
export async function ensureCluster(home: Home, durable: boolean): Promise<string> {
  await removeAbandonedDrafts(dirname(home.data));
  if (!(await exists(home.data))) await createCluster(home, durable);
  if (home.link) await ignoring('EEXIST', symlink(home.data, home.link));
  const version = (await readFile(join(home.data, 'PG_VERSION'), 'utf8')).trim();
  if (version !== String(POSTGRES_MAJOR)) {
    throw new DatabaseStartError(
      `The data in ${home.data} is of Postgres ${version}, this Tally brings Postgres ${POSTGRES_MAJOR}: ` +
        `dump and load it with the programs of both, or start the Tally that made it`,
    );
  }
  return readFile(passwordFile(home), 'utf8');
}

const passwordFile = (home: Home): string => join(home.data, 'tally.password');

async function createCluster(home: Home, durable: boolean): Promise<void> {
  const parent = dirname(home.data);
  const draft = join(parent, `.postgres-init-${process.pid}-${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(draft, { mode: 0o700 });
    await handOver(home.runner, draft);
    const password = join(draft, 'password');
    await writeFile(password, randomBytes(24).toString('base64url'), { mode: 0o600 });
    await handOver(home.runner, password);
    const data = join(draft, 'data');
    await initdb(home, data, password, durable);
    await copyFile(password, join(data, 'tally.password'));
    await handOver(home.runner, join(data, 'tally.password'));
    await ignoring(['EEXIST', 'ENOTEMPTY', 'EPERM'], rename(data, home.data));
    if (!(await exists(home.data)))
      throw new DatabaseStartError(`The new database could not be moved to ${home.data}`);
    await sync(parent);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function initdb(home: Home, data: string, password: string, durable: boolean): Promise<void> {
  // The builtin provider sorts by code point and knows all of Unicode: the same on every machine, whatever its locales.
  const child = run(
    home.runner,
    program(home.native, 'initdb'),
    [
      ...['--pgdata', data, '--username', OWNER, '--pwfile', password, '--auth', 'scram-sha-256'],
      ...[
        '--encoding',
        'UTF8',
        '--locale',
        'C',
        '--locale-provider',
        'builtin',
        '--builtin-locale',
        'C.UTF-8',
      ],
      ...['--no-instructions', ...(durable ? [] : ['--no-sync'])],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const { code, output } = await finished(child);
  if (code === 0) return;
  const lines = output.trim().split('\n');
  const errors = lines.filter((line) => /error|fatal|hint/i.test(line));
  throw new DatabaseStartError(
    `initdb failed: ${(errors.length > 0 ? errors : lines.slice(-5)).join(' | ')}`,
  );
}

/** Drafts of processes that are gone, or whose number now is another's: nobody takes an hour. */
async function removeAbandonedDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const pid = DRAFT.exec(name)?.[1];
    if (pid === undefined) continue;
    const path = join(folder, name);
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? 0);
    if (isAlive(Number(pid)) && age < ABANDONED_AFTER_MS) continue;
    // An orphaned initdb may still be writing there; what it leaves goes with the next start.
    await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function ignoring(codes: string | string[], work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!hasCode(error, ...[codes].flat())) throw error;
  });
}

/** The renamed name itself must be on disk before anything is committed in it. Windows cannot open a folder. */
async function sync(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
