/**
 * `npm run bench:dashboard`: how smooth the list of the dashboard is with 1,000 live jobs. First with a stand-in that changes all of
 * them four times a second, the worst that the feed allows, so that the browser alone is measured; then with the service, whose
 * worker runs ten tasks of each job, and what its one connection brings is counted.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Browser } from 'playwright-core';
import { launchChromium } from '../../scripts/chromium.js';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { ADMIN, BenchService } from '../service.js';
import { startStandIn } from './stand-in.js';
import { tell, WatchedPage } from './watched-page.js';

const JOBS = Number(process.env['JOBS'] ?? 1_000);
const SECONDS = Number(process.env['SECONDS'] ?? 20);
/** Of each job, so many run at once; the n-th ends after n times EVERY_MS. */
const TASKS = 10;
const EVERY_MS = 4_000;

async function withStandIn(browser: Browser): Promise<void> {
  const standIn = await startStandIn(JOBS);
  try {
    const watched = await WatchedPage.open(browser, standIn.origin);
    await watched.page.goto('/');
    await watched.page.locator('.jobs tbody tr').nth(49).waitFor();
    tell(
      `a stand-in, ${JOBS} jobs that all change four times a second`,
      await watched.during(() => sleep(SECONDS * 1_000)),
    );
    await watched.page.close();
  } finally {
    standIn.stop();
  }
}

/** What the page's connections for events bring, as the browser itself counts it. */
async function countEvents({ devtools }: WatchedPage) {
  const seen = { connections: 0, at: [] as number[], jobs: 0, bytes: 0 };
  await devtools.send('Network.enable');
  devtools.on('Network.requestWillBeSent', ({ type }) => {
    if (type === 'EventSource') seen.connections += 1;
  });
  devtools.on('Network.eventSourceMessageReceived', ({ eventName, data, timestamp }) => {
    if (eventName !== 'jobs') return;
    seen.at.push(timestamp);
    seen.jobs += (JSON.parse(data) as { jobs: unknown[] }).jobs.length;
    seen.bytes += data.length;
  });
  return seen;
}

/** The most of these times, in seconds, that lie within one second. */
const mostInASecond = (times: readonly number[]): number =>
  Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + 1).length));

async function submitAll(service: BenchService): Promise<void> {
  const tasks = Array.from({ length: TASKS }, (_, n) => ({ ms: (n + 1) * EVERY_MS }));
  const inTurns = pLimit(8);
  await Promise.all(
    Array.from({ length: JOBS }, (_, n) =>
      inTurns(() =>
        service.submit(JSON.stringify({ type: 'bench.wait', name: `Job ${n}`, task_timeout: 600, tasks })),
      ),
    ),
  );
}

async function withService(browser: Browser, service: BenchService): Promise<void> {
  const watched = await WatchedPage.open(browser, service.origin);
  const events = await countEvents(watched);
  await watched.signIn(ADMIN.email, ADMIN.password);
  tell(
    `the service, while ${JOBS} jobs of ${TASKS} tasks are submitted`,
    await watched.during(() => submitAll(service)),
  );
  await watched.page.locator('.jobs tbody tr').nth(49).waitFor();
  const before = { ...events, at: events.at.length };
  tell(`the service, while they run`, await watched.during(() => sleep(SECONDS * 1_000)));
  const told = events.at.slice(before.at);
  console.log(
    `  messages: ${(told.length / SECONDS).toFixed(1)} a second, ${mostInASecond(events.at)} in any one; ` +
      `changes of jobs: ${((events.jobs - before.jobs) / SECONDS).toFixed(0)} a second, ` +
      `${((events.bytes - before.bytes) / SECONDS / 1_024).toFixed(0)} KiB a second; connections for events: ${events.connections}`,
  );
  console.log(
    `  working jobs: ${(await watched.page.locator('.summary').textContent())?.replaceAll(/\s+/g, ' ')}`,
  );
}

const folder = await mkdtemp(join(tmpdir(), 'tally-live-list-'));
const postgres = await startEmbeddedPostgres({ dataDir: folder, log: () => undefined });
const browser = await launchChromium();
try {
  await withStandIn(browser);
  const service = await BenchService.start({
    DATABASE_URL: postgres.url,
    WORKER_CONCURRENCY: String(JOBS * TASKS),
  });
  try {
    await withService(browser, service);
  } finally {
    await service.stop();
  }
} finally {
  await browser.close();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}
