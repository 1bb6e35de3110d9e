import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { AUTHORIZATION, BenchService } from './service.js';

/**
 * Ten times as many submissions as the service can take: `npx tsx bench/overload.ts`, after `npm run build`. First so many clients
 * as it is quickest with, each of which submits as soon as it is answered; then, for a minute, arrivals at ten times that rate
 * that wait for nobody, with uploads among them; then the first clients again. Another client polls all the while.
 */

const CLIENTS = 50;
const FACTOR = Number(process.env['FACTOR'] ?? 10);
const CALM_S = Number(process.env['CALM_SECONDS'] ?? 15);
const STORM_S = Number(process.env['STORM_SECONDS'] ?? 60);
/** Requests of this process that are open at once, at most: what a machine with a thousand callers would keep open. */
const OPEN_MAX = 4_000;
const UPLOAD_SHARE = 0.01;
const TICK_MS = 20;

const JOB = JSON.stringify({
  type: 'demo.sleep',
  tasks: Array.from({ length: 10 }, (_, n) => ({ note: `n${n}` })),
});
const LINES = '{"note":"a line of an upload"}\n'.repeat(2_000);

const errors = new Map<string, number>();
const agent = new Agent({ keepAlive: process.env['KEEP_ALIVE'] !== 'false', maxSockets: OPEN_MAX });

interface Answered {
  readonly status: number;
  /** From the call to the end of the answer. */
  readonly ms: number;
  /** Of that, until there was a connection to write to. */
  readonly connectMs: number;
}

function quantiles(of: number[]): string {
  const sorted = of.sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.ceil(sorted.length * share) - 1] ?? NaN).toFixed(0);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, last ${at(1)} ms`;
}

class Tally {
  readonly answers: Answered[] = [];
  readonly polls: Answered[] = [];
  rssMb = 0;

  readonly lag = monitorEventLoopDelay();

  print(what: string, seconds: number): void {
    console.log(`\n${what}: ${seconds.toFixed(0)} s, RSS at most ${this.rssMb} MB`);
    const groups = new Map<string, Answered[]>();
    for (const answer of this.answers) {
      const key = String(answer.status || 'no answer');
      const group = groups.get(key);
      if (group) group.push(answer);
      else groups.set(key, [answer]);
    }
    groups.set('poll', this.polls);
    for (const [key, all] of groups)
      console.log(
        `  ${key}: ${all.length} (${(all.length / seconds).toFixed(0)}/s), ` +
          `${quantiles(all.map(({ ms }) => ms))}; for a connection ${quantiles(all.map(({ connectMs }) => connectMs))}`,
      );
    if (errors.size > 0) console.log(`  no answer: ${[...errors].join(' ')}`);
    errors.clear();
    console.log(`  this process was late by ${(this.lag.percentile(99) / 1e6).toFixed(0)} ms (p99)`);
    const strange = this.polls.filter(({ status }) => status !== 200).length;
    if (strange > 0) console.log(`  polls that were not answered with 200: ${strange}`);
  }
}

function ask(
  origin: string,
  method: string,
  path: string,
  body?: string,
  type = 'application/json',
): Promise<Answered> {
  const begun = performance.now();
  return new Promise((resolve) => {
    let connected = begun;
    const settle = (status: number) =>
      resolve({ status, ms: performance.now() - begun, connectMs: connected - begun });
    const headers = {
      authorization: AUTHORIZATION,
      ...(body !== undefined && { 'content-type': type, 'content-length': Buffer.byteLength(body) }),
    };
    request(origin + path, { agent, method, headers }, (response) => {
      response.resume();
      response.on('end', () => settle(response.statusCode ?? 0)).on('error', () => settle(0));
    })
      .on('socket', (socket) => {
        connected = performance.now();
        if (socket.connecting) socket.once('connect', () => (connected = performance.now()));
      })
      .on('error', (error) => {
        const { code } = error as NodeJS.ErrnoException;
        errors.set(String(code), (errors.get(String(code)) ?? 0) + 1);
        settle(0);
      })
      .end(body);
  });
}

const submit = (origin: string): Promise<Answered> =>
  Math.random() < UPLOAD_SHARE
    ? ask(origin, 'POST', '/api/v2/jobs.json?type=demo.sleep', LINES, 'application/x-ndjson')
    : ask(origin, 'POST', '/api/v2/jobs.json', JOB);

const rssMb = async (pid: number): Promise<number> =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);

/** Does `work` while somebody polls and somebody looks at the memory. */
async function measured(
  what: string,
  service: BenchService,
  job: string,
  work: (tally: Tally) => Promise<void>,
) {
  const tally = new Tally();
  let isOver = false;
  const pollers = Array.from({ length: 5 }, async () => {
    while (!isOver) {
      tally.polls.push(await ask(service.origin, 'GET', `/api/v2/job_statuses/${job}.json`));
      await sleep(50);
    }
  });
  const watcher = (async () => {
    while (!isOver) {
      tally.rssMb = Math.max(tally.rssMb, await rssMb(service.child.pid ?? 0));
      await sleep(100);
    }
  })();
  tally.lag.enable();
  const begun = performance.now();
  await work(tally);
  const seconds = (performance.now() - begun) / 1_000;
  isOver = true;
  await Promise.all([...pollers, watcher]);
  tally.print(what, seconds);
  return tally.answers.filter(({ status }) => status === 202).length / seconds;
}

/** Each client submits again as soon as it is answered. */
const calm = (origin: string) => async (tally: Tally) => {
  const end = performance.now() + CALM_S * 1_000;
  const client = async () => {
    while (performance.now() < end) tally.answers.push(await submit(origin));
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
};

/** Submissions arrive at a rate, whatever becomes of those before. */
const storm = (origin: string, perSecond: number) => async (tally: Tally) => {
  const begun = performance.now();
  const open = new Set<Promise<void>>();
  let offered = 0;
  let dropped = 0;
  for (;;) {
    const elapsed = (performance.now() - begun) / 1_000;
    if (elapsed >= STORM_S) break;
    for (const due = elapsed * perSecond; offered < due; offered += 1) {
      if (open.size >= OPEN_MAX) {
        dropped += 1;
        continue;
      }
      const one: Promise<void> = submit(origin).then((answer) => {
        tally.answers.push(answer);
        open.delete(one);
      });
      open.add(one);
    }
    await sleep(TICK_MS);
  }
  await Promise.all(open);
  console.log(`\noffered ${offered}, of which ${dropped} found no connection here: ${OPEN_MAX} were open`);
};

const folder = await mkdtemp(join(tmpdir(), 'tally-overload-'));
const postgres = await startEmbeddedPostgres({ dataDir: folder, log: () => undefined });
const log = await open(join(folder, 'log'), 'w');
const service = await BenchService.start(
  { DATABASE_URL: postgres.url, MAX_WORKING_JOBS: '1000000' },
  undefined,
  log.fd,
);
try {
  console.log(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}`);
  const { id } = await service.submit(JOB);
  const { origin } = service;
  const sustained = await measured(`${CLIENTS} clients, flat out`, service, id, calm(origin));
  console.log(`  sustained: ${sustained.toFixed(0)} jobs/s`);
  await measured(`${FACTOR} times as many, for ${STORM_S} s`, service, id, storm(origin, FACTOR * sustained));
  await measured(`${CLIENTS} clients again`, service, id, calm(origin));
} finally {
  agent.destroy();
  await service.stop();
  await postgres.stop();
  await log.close();
  await rm(folder, { recursive: true, force: true });
}
