import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { whole, type Bench, type Line, type Row } from '../bench.js';

/** (f): psql's COPY of the same result rows, into a table with the same key and CHECKs. */

const ROWS_AT_ONCE = 10_000;
const row = (index: number): string =>
  `01a20a67-351e-7746-9737-f06e3f542561\t${index}\tt\t{"note":"${'x'.repeat(89)}","success":true}\t1\t\\N\t\\N\n`;

async function copy(bench: Bench): Promise<number> {
  await bench.sql.query('DROP TABLE IF EXISTS floor');
  await bench.sql.query('CREATE TABLE floor (LIKE job_results INCLUDING CONSTRAINTS INCLUDING INDEXES)');
  const pieces: string[] = [];
  for (let at = 0; at < bench.large; at += ROWS_AT_ONCE)
    pieces.push(Array.from({ length: ROWS_AT_ONCE }, (_, n) => row(at + n)).join(''));
  const psql = spawn('psql', [bench.databaseUrl, '-qXc', '\\copy floor from stdin'], {
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const exit = once(psql, 'exit');
  const begun = performance.now();
  for (const piece of pieces) if (!psql.stdin.write(piece)) await once(psql.stdin, 'drain');
  psql.stdin.end();
  const [code] = (await exit) as [number];
  if (code !== 0) throw new Error(`psql ended with ${code}`);
  return bench.large / ((performance.now() - begun) / 1_000);
}

async function* run(bench: Bench): AsyncGenerator<Row> {
  // Where this line is the first, a service makes the table whose likeness is filled.
  await bench.with({}, () => Promise.resolve());
  const perSecond = await bench.median(() => copy(bench));
  await bench.sql.query('DROP TABLE floor');
  const ratio = perSecond / (bench.medians.get('a') ?? NaN);
  yield {
    what: `(f) psql's COPY of ${whole(bench.large)} result rows`,
    value: `${whole(perSecond)} rows/s${Number.isNaN(ratio) ? '' : `; (a) takes ${ratio.toFixed(1)} × its time`}`,
    goal: '(a) ≤ 4 ×',
    bar: {
      group: 'No-op tasks a second, end to end',
      name: 'psql: COPY of the results alone',
      value: perSecond,
    },
  };
}

export const FLOOR: Line = { key: 'f', run };
