import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { Bench, type Line, type Row } from './bench.js';
import { HISTORY, LARGE, SIZES, SLOW_FLUSH } from './lines/end-to-end.js';
import { FLOOR } from './lines/floor.js';
import { IDLE_LATENCY } from './lines/idle-latency.js';
import { PEERS } from './lines/peers.js';
import { POLLS } from './lines/polls.js';
import { SMALL_JOBS } from './lines/small-jobs.js';
import { TICKET_UPDATES } from './lines/tickets.js';
import { WORKERS } from './lines/workers.js';
import { drawInto } from './picture.js';

/**
 * Measures the whole service over HTTP, on one Postgres with its default durability and one version of Node: `npm run bench`
 * prints a table as markdown and draws it into docs/images/performance.svg. Machines are noisy: each line is the median of its
 * rounds, and only lines of one run compare.
 *
 *   npm run bench -- --only a,e      some lines
 *   npm run bench -- --rounds 5      other than three
 *   npm run bench -- --tasks 100000  a large job is smaller than a million
 *   npm run bench -- --peers         other queues as well
 */

const LINES: readonly Line[] = [
  // Those of a few milliseconds come before those that write gigabytes: after them (d) took 6.3 ms instead of 4.5.
  ...[LARGE, FLOOR, SMALL_JOBS, IDLE_LATENCY, POLLS, SIZES, TICKET_UPDATES, WORKERS, SLOW_FLUSH],
  // The last one: it leaves ten million results behind.
  HISTORY,
];

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    tasks: { type: 'string', default: '1000000' },
    peers: { type: 'boolean', default: false },
  },
});

const PICTURE = fileURLToPath(new URL('../docs/images/performance.svg', import.meta.url));

const row = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

async function main(): Promise<void> {
  const asked = values.only?.split(',');
  const lines = LINES.filter(({ key }) => asked === undefined || asked.includes(key));
  if (asked?.some((key) => LINES.every((line) => line.key !== key)))
    throw new Error(`expected --only to name some of ${LINES.map(({ key }) => key).join(', ')}`);
  // Before the ten million results.
  if (values.peers) lines.splice(lines.includes(HISTORY) ? -1 : lines.length, 0, PEERS);
  const dataDir = await mkdtemp(join(tmpdir(), 'tally-bench-'));
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined });
  const sql = new pg.Client({ connectionString: postgres.url });
  try {
    await sql.connect();
    const bench = new Bench(postgres.url, Number(values.rounds), Number(values.tasks), sql);
    const { rows } = await sql.query<{ v: string }>(`SELECT current_setting('server_version') AS v`);
    const machine = `${cpus().length} cores (${cpus()[0]?.model ?? '?'})`;
    const about = `Node ${process.version}, Postgres ${rows[0]!.v}, ${machine}, medians of ${bench.rounds}, ${new Date().toISOString().slice(0, 10)}`;
    console.log(`${about}\n`);
    console.log(row('what', 'measured', 'goal'));
    console.log(row('---', '---', '---'));
    const found: Row[] = [];
    for (const line of lines)
      for await (const each of line.run(bench)) {
        found.push(each);
        console.log(row(each.what, each.value, each.goal ?? ''));
      }
    // What was not measured in this run has no place in the picture: it is drawn of a whole run only.
    if (asked === undefined) await drawInto(PICTURE, found, about);
  } finally {
    await sql.end();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

await main();
