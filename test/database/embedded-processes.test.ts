import { chmod, chown, readdir, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { findBinaries } from '../../src/database/embedded/binaries.js';
import { findPostmaster, isPostmaster } from '../../src/database/embedded/postmaster.js';
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from '../../src/database/embedded-postgres.js';
import { canRunAs, type RunningChild, startChild, type User } from '../support/child.js';
import { makeScratch, query, type Scratch } from '../support/scratch.js';
import { waitFor } from '../support/wait-for.js';

interface Said {
  readonly url: string;
  readonly owns: boolean;
  readonly uid: number;
}

const CHILD = 'test/database/embedded-child.ts';
const ORDINARY = 65_534;
const isRoot = process.getuid?.() === 0;
const quiet = () => undefined;
const asRoot = isRoot ? test : test.skip;
const asOrdinary = isRoot && canRunAs(ORDINARY) ? test : test.skip;

let scratch: Scratch;
let children: RunningChild[];
let started: EmbeddedPostgres[];

beforeEach(async () => {
  scratch = await makeScratch();
  children = [];
  started = [];
});

afterEach(async () => {
  await Promise.all([...children.map((each) => each.kill()), ...started.map((each) => each.stop())]);
  await scratch.remove();
});

function child(as?: User): RunningChild {
  const running = startChild(CHILD, [scratch.folder], as);
  children.push(running);
  return running;
}

async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({
    dataDir: scratch.folder,
    log: quiet,
    durable: false,
    ...options,
  });
  started.push(postgres);
  return postgres;
}

const postmaster = () => waitFor(() => findPostmaster(join(scratch.folder, 'postgres')));
const drafts = async () =>
  (await readdir(scratch.folder)).filter((name) => name.startsWith('.postgres-init'));

test('two processes that start at once on an empty folder share one server', async () => {
  const both = [child(), child()];
  const said = await Promise.all(both.map((each) => each.next<Said>()));

  expect(said[0]?.url).toBe(said[1]?.url);
  expect(said.map(({ owns }) => owns).sort()).toEqual([false, true]);
  expect(await drafts()).toEqual([]);

  const { pid } = await postmaster();
  await Promise.all(both.map((each) => each.finish()));
  expect(await isPostmaster(pid, join(scratch.folder, 'postgres'))).toBe(false);
});

test('a server outlives a kill -9 of its process; who takes it then has everything, and starts it when it dies', async () => {
  const first = child();
  const { url } = await first.next<Said>();
  await query(url, 'CREATE TABLE kept AS SELECT 1 AS n');
  const { pid } = await postmaster();
  await first.kill();

  const second = await start();
  expect(second.ownsServer).toBe(false);
  expect(second.url).toBe(url);
  expect(await query(url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  expect((await postmaster()).pid).toBe(pid);

  process.kill(pid, 'SIGKILL');
  const rows = await waitFor(() => query(url, 'SELECT n FROM kept'), { timeoutMs: 15_000 });
  expect(rows).toEqual([{ n: 1 }]);
  expect((await postmaster()).pid).not.toBe(pid);
});

test('a kill -9 while the database is being made leaves nothing that keeps the next start from making it', async () => {
  const first = child();
  await waitFor(async () => (await drafts()).length > 0, { timeoutMs: 15_000, everyMs: 2 });
  await first.kill();
  expect(await readdir(scratch.folder)).not.toContain('postgres');

  const second = await start();
  expect(await query(second.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  await second.stop();
});

asOrdinary('an ordinary user runs it in a folder of his own', async () => {
  await chown(scratch.folder, ORDINARY, ORDINARY);
  const running = child({ uid: ORDINARY, gid: ORDINARY, home: scratch.folder });
  const { url, uid } = await running.next<Said>();
  expect(uid).toBe(ORDINARY);
  expect(await query(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  expect((await stat(join(scratch.folder, 'postgres'))).uid).toBe(ORDINARY);
  await running.finish();

  // Root comes along later, and leaves the files the user's.
  const root = await start();
  expect(await query(root.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  await root.stop();
  expect((await stat(join(scratch.folder, 'postgres', 'PG_VERSION'))).uid).toBe(ORDINARY);
});

asRoot(
  'root without user namespaces runs it as another user, where that user can reach data and binaries',
  async () => {
    const refuge = await makeScratch();
    const { native, version } = await findBinaries();
    const hidden = join(scratch.folder, 'native');
    await symlink(native, hidden);
    const machine = { userNamespaces: false, refuge: refuge.folder, binaries: { native: hidden, version } };
    await chmod(refuge.folder, 0o755);

    const lines: string[] = [];
    const log = (line: string) => void lines.push(line);
    const first = await start({ log, machine });
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS n');
    await first.stop();
    expect(lines[0]).toMatch(/^Postgres cannot run as root .* its data is in .*tally-scratch-/);
    expect((await stat(join(scratch.folder, 'postgres'))).uid).not.toBe(0);

    // The machine has learnt user namespaces since: the data stays where it is, and whose it is.
    const second = await start();
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
    await second.stop();
    await refuge.remove();
  },
);
