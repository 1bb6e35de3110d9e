import { createReadStream, existsSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Instead of the service: jobs that all change four times a second, the worst that the feed allows. */

const TOTAL = 10_000;
const FILES = fileURLToPath(new URL('../../dist/dashboard/', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.woff2': 'font/woff2',
  '.svg': 'image/svg+xml',
  '.html': 'text/html',
};

export interface StandIn {
  readonly origin: string;
  stop(): void;
}

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

const newestFirst = (jobs: number, progress: number) =>
  Array.from({ length: jobs }, (_, at) => jobOf(jobs - at, progress));

function sendEvents(jobs: number, response: ServerResponse): void {
  response.setHeader('Content-Type', 'text/event-stream');
  let tick = 0;
  const timer = setInterval(() => {
    tick += 1;
    response.write(`event: jobs\ndata: ${JSON.stringify({ jobs: newestFirst(jobs, tick * 3) })}\n\n`);
    if (tick % 4 > 0) return;
    const stats = {
      at: new Date().toISOString(),
      waiting: 1e7 - tick * 3_000,
      running: 20_000,
      processed: tick * 3_000,
      failed: tick * 150,
      working_jobs: jobs,
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

function answer(jobs: number, pathname: string, response: ServerResponse): void {
  const json = (body: unknown) =>
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body));
  if (pathname === '/api/v2/jobs/events') {
    sendEvents(jobs, response);
    return;
  }
  if (pathname === '/api/v2/jobs.json')
    return void json({ jobs: newestFirst(jobs, 0).slice(0, 50), ...PAGE });
  if (pathname === '/api/v2/task_types.json') return void json({ task_types: [] });
  if (pathname === '/session') return void json({ user });
  const file = join(FILES, pathname === '/' ? 'index.html' : pathname);
  if (!existsSync(file)) return void response.writeHead(404).end();
  response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream');
  return void createReadStream(file).pipe(response);
}

export async function startStandIn(jobs: number): Promise<StandIn> {
  const server = createServer((request, response) =>
    answer(jobs, new URL(request.url ?? '/', 'http://localhost').pathname, response),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
