/**
 * `npm run bench:dashboard`: how smooth the list of the dashboard is while 1,000 jobs move at once, all of them four times a second.
 * A stand-in for the service sends them, so that what is measured is the browser alone, at the worst that the feed allows.
 */
import { createReadStream, existsSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { launchChromium } from '../scripts/chromium.js';

const JOBS = Number(process.env['JOBS'] ?? 1_000);
const SECONDS = Number(process.env['SECONDS'] ?? 20);
const TOTAL = 10_000;
const FILES = fileURLToPath(new URL('../dist/dashboard/', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.woff2': 'font/woff2',
  '.svg': 'image/svg+xml',
  '.html': 'text/html',
};

const jobOf = (number: number, progress: number) => ({
  id: `01a20a67351e77469737${number.toString(16).padStart(12, '0')}`,
  url: `http://localhost/api/v2/job_statuses/${number}.json`,
  total: TOTAL,
  progress,
  status: 'working',
  message: null,
  type: 'demo.sleep',
  name: `Job ${number}`,
  metadata: null,
  priority: 0,
  counts: {
    succeeded: progress - Math.floor(progress / 20),
    failed: Math.floor(progress / 20),
    retrying: 0,
    running: 20,
    pending: TOTAL - progress - 20,
  },
  max_attempts: 3,
  max_failures: null,
  task_timeout: 30,
  start_at: null,
  deadline: null,
  callback_url: null,
  callback: null,
  paused: false,
  created_by: 'admin@example.com',
  created_at: '2026-11-24T12:00:00.000Z',
  started_at: '2026-11-24T12:00:01.000Z',
  finished_at: null,
  expires_at: null,
  retry_of: null,
  retried_by: null,
  eta_seconds: (TOTAL - progress) / 10,
});

const newestFirst = (progress: number) => Array.from({ length: JOBS }, (_, at) => jobOf(JOBS - at, progress));

function sendEvents(response: ServerResponse): void {
  response.setHeader('Content-Type', 'text/event-stream');
  let tick = 0;
  const timer = setInterval(() => {
    tick += 1;
    response.write(`event: jobs\ndata: ${JSON.stringify({ jobs: newestFirst(tick * 3) })}\n\n`);
    if (tick % 4 > 0) return;
    const stats = {
      at: new Date().toISOString(),
      waiting: 1e7 - tick * 3_000,
      running: 20_000,
      processed: tick * 3_000,
      failed: tick * 150,
      working_jobs: JOBS,
    };
    response.write(`event: stats\ndata: ${JSON.stringify(stats)}\n\n`);
  }, 250);
  response.on('close', () => clearInterval(timer));
}

const user = { email: 'admin@example.com', role: 'admin', account: 'main' };
const PAGE = {
  meta: { has_more: true, after_cursor: 'YQ', before_cursor: 'Yg' },
  links: { next: null, prev: null },
};

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  const json = (body: unknown) =>
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body));
  if (pathname === '/api/v2/jobs/events') {
    sendEvents(response);
    return;
  }
  if (pathname === '/api/v2/jobs.json') return void json({ jobs: newestFirst(0).slice(0, 50), ...PAGE });
  if (pathname === '/api/v2/task_types.json') return void json({ task_types: [] });
  if (pathname === '/session') return void json({ user });
  const file = join(FILES, pathname === '/' ? 'index.html' : pathname);
  if (!existsSync(file)) return void response.writeHead(404).end();
  response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream');
  return void createReadStream(file).pipe(response);
}).listen(0, '127.0.0.1');
await once(server, 'listening');

/** Read in the page, as text: it is no part of this program's types. */
const OBSERVE = `
  window.seen = { frames: 0, slowest: 0, tasks: [], updates: 0 };
  let last = performance.now();
  const frame = (now) => {
    seen.frames += 1;
    seen.slowest = Math.max(seen.slowest, now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
  new MutationObserver(() => (seen.updates += 1)).observe(document.querySelector('.jobs tbody'), { attributes: true, subtree: true, characterData: true, childList: true });
`;
interface Seen {
  readonly frames: number;
  readonly slowest: number;
  readonly tasks: readonly number[];
  readonly updates: number;
}

const browser = await launchChromium();
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await page.locator('.jobs tbody tr').nth(49).waitFor();
  const devtools = await page.context().newCDPSession(page);
  // Seconds of the processor, not of the clock: other programs may run too.
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busySeconds = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0;
  };
  const before = await busySeconds();
  await page.evaluate(OBSERVE);
  await sleep(SECONDS * 1_000);
  const seen = await page.evaluate<Seen>('seen');
  const busy = (await busySeconds()) - before;
  console.log(`${JOBS} jobs that all move, for ${SECONDS} s; rows in the document: 50`);
  console.log(
    `frames a second:     ${(seen.frames / SECONDS).toFixed(1)}, the longest took ${seen.slowest.toFixed(0)} ms`,
  );
  console.log(`updates of the list: ${(seen.updates / SECONDS).toFixed(1)} a second`);
  console.log(
    `long tasks (50 ms):  ${seen.tasks.length}, the longest ${Math.max(0, ...seen.tasks).toFixed(0)} ms`,
  );
  console.log(`main thread busy:    ${((busy / SECONDS) * 100).toFixed(0)} %`);
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
