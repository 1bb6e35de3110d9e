import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../../test/support/service.js';
import { whole, type Bench, type Line, type Row } from '../bench.js';
import { end } from '../processes.js';

/**
 * Other queues, each with its best documented settings and the same work: a hundred thousand tasks of a hundred bytes. They need a
 * newer Node than the service, which comes with them (bench/peers/package.json).
 */

const TASKS = 100_000;
const FOLDER = fileURLToPath(new URL('../peers/', import.meta.url));
const NODE = join(FOLDER, `node_modules/node-linux-${process.arch}/bin/node`);
const run = promisify(execFile);

async function peer(name: string, url: string, tasks: number): Promise<number> {
  const { stdout } = await run(NODE, [join(FOLDER, 'peer.js'), name, url, String(tasks)]);
  const perSecond = Number(stdout.split('\n').at(-1));
  if (!(perSecond > 0)) throw new Error(`${name} did not say how quick it was: ${stdout}`);
  return perSecond;
}

/** A database of its own for each round: none meets what another one left. */
async function onPostgres(bench: Bench, name: string, tasks: number): Promise<number> {
  const database = 'bench_peer';
  await bench.sql.query(`CREATE DATABASE ${database}`);
  const url = new URL(bench.databaseUrl);
  url.pathname = `/${database}`;
  try {
    return await peer(name, url.href, tasks);
  } finally {
    await bench.sql.query(`DROP DATABASE ${database} WITH (FORCE)`);
  }
}

async function onRedis(tasks: number): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'tally-bench-redis-'));
  const port = await freePort();
  const options = {
    port: String(port),
    bind: '127.0.0.1',
    dir,
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
  };
  const redis = spawn(
    'redis-server',
    Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
    { stdio: 'ignore' },
  );
  try {
    await sleep(500);
    return await peer('bullmq', `redis://127.0.0.1:${port}`, tasks);
  } finally {
    await end(redis);
    await rm(dir, { recursive: true, force: true });
  }
}

const ratio = (ours: number | undefined, theirs: number): string =>
  ours === undefined ? '' : `; Tally: ${(ours / theirs).toFixed(1)} × as many`;

async function* compare(bench: Bench): AsyncGenerator<Row> {
  await run('npm', ['ci', '--prefix', FOLDER]);
  const tasks = Math.min(TASKS, bench.large);
  const { stdout: version } = await run(NODE, ['--version']);
  const peers = [
    {
      name: 'pg-boss',
      stores: 'the task and its output',
      measure: () => onPostgres(bench, 'pg-boss', tasks),
    },
    {
      name: 'graphile-worker',
      stores: 'no result; the job is deleted',
      measure: () => onPostgres(bench, 'graphile-worker', tasks),
    },
    {
      name: 'BullMQ',
      stores:
        'the job and its return value in Redis, AOF with appendfsync everysec: up to a second may be lost',
      measure: () => onRedis(tasks),
    },
  ];
  for (const { name, stores, measure } of peers) {
    const perSecond = await bench.median(measure);
    yield {
      what: `${name} on Node ${version.trim()}, ${whole(tasks)} tasks; keeps ${stores}`,
      value: `${whole(perSecond)} tasks/s${ratio(bench.medians.get('a'), perSecond)}`,
      goal: name === 'pg-boss' ? '≥ 6 ×' : '≥ 4 ×',
      bar: { group: 'No-op tasks a second, end to end', name, value: perSecond },
    };
  }
  await bench.set({ commit_delay: '2000', commit_siblings: '0' });
  try {
    const slow = await bench.median(() => onPostgres(bench, 'pg-boss', tasks));
    yield {
      what: 'pg-boss with 2 ms added to each flush',
      value: `${whole(slow)} tasks/s${ratio(bench.medians.get('j'), slow)}`,
      goal: '≥ 4 ×',
    };
  } finally {
    await bench.set({ commit_delay: null, commit_siblings: null });
  }
}

export const PEERS: Line = { key: 'peers', run: compare };
