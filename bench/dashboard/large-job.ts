/**
 * `npm run bench:large-job`: a job of a million rows through the dashboard and the command line, as people do it: a CSV file is chosen
 * in the form and submitted, its results are paged through, its failures looked at; then the same file by `tally submit`,
 * and the results by `tally results --csv`. Real service, real Chromium, real files. ROWS=100000 is quicker.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { launchChromium } from '../../scripts/chromium.js';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { median } from '../bench.js';
import { peakMib } from '../processes.js';
import { ADMIN, BenchService } from '../service.js';
import { tell, WatchedPage } from './watched-page.js';

const ROWS = Number(process.env['ROWS'] ?? 1_000_000);
const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** One row in so many fails. */
const FAILS = 100;
const number = (n: number): string => n.toLocaleString('en-US');

function* csv(rows: number): Generator<string> {
  yield 'times,message,note\n';
  let lines = '';
  for (let row = 0; row < rows; row += 1) {
    lines +=
      row % FAILS === 0 ? `9,"Mailbox ${row} is full",row ${row}\n` : `0,,"row ${row}, which is fine"\n`;
    if (lines.length < 65_536) continue;
    yield lines;
    lines = '';
  }
  yield lines;
}

async function fileOf(folder: string, rows: number): Promise<string> {
  const path = join(folder, `${rows}.csv`);
  await pipeline(Readable.from(csv(rows)), createWriteStream(path));
  return path;
}

/** @returns the id of the job */
async function submitInForm(watched: WatchedPage, file: string): Promise<string> {
  const { page } = watched;
  await page.goto('/submit');
  await page.getByRole('combobox', { name: 'Task type' }).selectOption('demo.fail');
  const began = performance.now();
  await page.setInputFiles('input[type=file]', file);
  await page.getByText('Preview').waitFor();
  console.log(`the form: a preview after ${(performance.now() - began).toFixed(0)} ms`);
  await page.getByText('More options').click();
  await page.getByLabel('Attempts a task').fill('1');
  tell(
    'from the click to the page of the job',
    await watched.during(async () => {
      await page.getByRole('button', { name: 'Submit the job' }).click();
      await page.waitForURL('**/jobs/*');
    }),
  );
  const { page: ofPage, browser } = await watched.peaksMib();
  console.log(
    `  memory at most: the page's process ${ofPage.toFixed(0)} MiB, the browser's ${browser.toFixed(0)} MiB`,
  );
  return new URL(page.url()).pathname.split('/').at(-1) ?? '';
}

/** From the click until the table shows a row of this task. */
async function shows({ page }: WatchedPage, task: number, click: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await click();
  await page.getByRole('button', { name: `Task ${task}, all of it` }).waitFor();
  return performance.now() - began;
}

async function pageThrough(watched: WatchedPage): Promise<void> {
  const { page } = watched;
  const press = (name: string | RegExp) => () => page.getByRole('button', { name, exact: true }).click();
  const goTo = (task: number) => async () => {
    await page.getByLabel('Go to task').fill(String(task));
    await page.keyboard.press('Enter');
  };
  const ms = (times: readonly number[]) =>
    `${median(times).toFixed(0)} ms, the slowest ${Math.max(...times).toFixed(0)} ms`;
  const next: number[] = [];
  const jumps: number[] = [];
  const failures: number[] = [];
  tell(
    'paging through the results',
    await watched.during(async () => {
      for (let n = 1; n <= 20; n += 1) next.push(await shows(watched, n * 50, press('Next')));
      for (const share of [0.5, 0.999, 0.25, 0.75, 0.1]) {
        const task = Math.floor(ROWS * share);
        jumps.push(await shows(watched, task, goTo(task)));
      }
      failures.push(await shows(watched, 50 * FAILS - FAILS, press(/^Failed/)));
      for (let n = 1; n <= 10; n += 1) failures.push(await shows(watched, n * 50 * FAILS, press('Next')));
      const last = Math.floor((ROWS * 0.9) / FAILS) * FAILS;
      failures.push(await shows(watched, last, goTo(last)));
    }),
  );
  await page
    .getByRole('button', { name: /, all of it$/ })
    .first()
    .click();
  await page.getByText('Input').first().waitFor();
  const open = await page.locator('.result-whole').first().textContent();
  console.log(`  next page: ${ms(next)}; go to a task: ${ms(jumps)}; pages of failures: ${ms(failures)}`);
  console.log(`  a failure, opened: ${(open ?? '').replaceAll(/\s+/g, ' ').slice(0, 120)}`);
  console.log(`  heap of the page: ${(await watched.heapMib()).toFixed(0)} MiB`);
}

/** Runs the command line, and throws away what it prints but for the last of it. */
async function tally(service: BenchService, ...args: readonly string[]) {
  const began = performance.now();
  const child = spawn(process.execPath, [CLI, ...args], {
    env: {
      PATH: process.env['PATH'],
      TALLY_URL: service.origin,
      TALLY_EMAIL: ADMIN.email,
      TALLY_PASSWORD: ADMIN.password,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let peak = 0;
  // Gone when it has ended: the last look counts.
  const look = setInterval(() => (peak = Math.max(peak, peakOrZero(child.pid!))), 20);
  let [bytes, lines, end] = [0, 0, ''];
  child.stdout.on('data', (piece: Buffer) => {
    bytes += piece.length;
    for (const byte of piece) if (byte === 10) lines += 1;
    end = piece.toString('utf8', Math.max(0, piece.length - 100));
  });
  const [code] = (await once(child, 'close')) as [number];
  clearInterval(look);
  if (code !== 0) throw new Error(`tally ${args[0]} ended with ${code}`);
  return { peak, bytes, lines, end, seconds: (performance.now() - began) / 1_000 };
}

function peakOrZero(pid: number): number {
  try {
    return peakMib(pid) || 0;
  } catch {
    return 0;
  }
}

async function commandLine(service: BenchService, folder: string): Promise<void> {
  for (const rows of [Math.floor(ROWS / 100), Math.floor(ROWS / 10), ROWS]) {
    const file = await fileOf(folder, rows);
    const submitted = await tally(service, 'submit', 'demo.fail', file, '--max-attempts', '1');
    const id = submitted.end.trim();
    await service.ended(`/api/v2/job_statuses/${id}.json`, 200);
    const results = await tally(service, 'results', id, '--csv');
    console.log(
      `the command line, ${number(rows)} rows: submit ${submitted.peak.toFixed(0)} MiB at most, ${submitted.seconds.toFixed(1)} s; ` +
        `results --csv ${results.peak.toFixed(0)} MiB, ${results.seconds.toFixed(1)} s, ${number(results.lines)} lines of ${(results.bytes / 2 ** 20).toFixed(0)} MiB`,
    );
  }
}

async function inBrowser(service: BenchService, file: string): Promise<void> {
  const browser = await launchChromium();
  try {
    const watched = await WatchedPage.open(browser, service.origin);
    await watched.signIn(ADMIN.email, ADMIN.password);
    const { page } = watched;
    const id = await submitInForm(watched, file);
    tell(
      'the page of the job while it runs',
      await watched.during(() => service.ended(`/api/v2/job_statuses/${id}.json`, 200)),
    );
    await page.getByText('Completed', { exact: true }).waitFor();
    await pageThrough(watched);
  } finally {
    await browser.close();
  }
}

const folder = await mkdtemp(join(tmpdir(), 'tally-large-job-'));
const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'data'), log: () => undefined });
const service = await BenchService.start({ DATABASE_URL: postgres.url });
try {
  console.log(`${number(ROWS)} rows, of which one in ${FAILS} fails`);
  await inBrowser(service, await fileOf(folder, ROWS));
  await commandLine(service, folder);
} finally {
  await service.stop();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}
