import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { UsersStore } from '../src/auth/users.store.js';
import { PrismaService } from '../src/database/prisma.service.js';
import { Auditor } from './auditor.js';
import { Client } from './client.js';
import { Customer } from './customer.js';
import { Fleet } from './fleet.js';
import { Leases } from './leases.js';
import { Logs } from './logs.js';
import { Outages } from './outages.js';
import { freePort } from './ports.js';
import { findPrograms, MISSING } from './failover/programs.js';
import { ReplicatedPostgres } from './failover/replicated-postgres.js';
import { ChaosPostgres, observe } from './postgres.js';
import { Random } from './random.js';
import { Receiver } from './receiver.js';
import { drawSchedule, LEASE_SECONDS, WORKERS } from './schedule.js';
import { Verdict } from './verdict.js';

/**
 * The service under fire: `npm run chaos`. Real processes on a durable Postgres are killed, stopped, cut off and restarted
 * at random while customers work, and what must always hold is checked all the while. CHAOS_SEED repeats the disturbances of
 * a run, CHAOS_SECONDS says how long they last. CHAOS_POOLER=true puts PgBouncer before the database and a standby beside it,
 * which is promoted now and then.
 */

const SECONDS = Number(process.env['CHAOS_SECONDS'] || 600);
const SEED = process.env['CHAOS_SEED'] || randomBytes(4).toString('hex');
const HAS_POOLER = process.env['CHAOS_POOLER'] === 'true';
const ACCOUNTS = ['north', 'south', 'west'];
const PLACES = 20;
/** What was accepted must have ended so long after the last disturbance. */
const END_MS = 90_000;

const verdict = new Verdict();
const [api, database, blocked] = [new Outages(), new Outages(), new Outages()];
const LOG_FILE = 'coverage/chaos.log';
const logs = new Logs(LOG_FILE, verdict, database);
const say = (line: string): void => console.log(`${verdict.clock()} ${line}`);

/** A user in each account, and a token. */
async function makeUsers(url: string): Promise<string[]> {
  const prisma = new PrismaService(url);
  try {
    const users = new UsersStore(prisma);
    const tokens: string[] = [];
    for (const account of ACCOUNTS) {
      const email = `${account}@example.com`;
      await users.add({ email, account, role: 'admin', password: randomBytes(12).toString('base64url') });
      tokens.push(await users.createToken(email, 'chaos'));
    }
    return tokens;
  } finally {
    await prisma.onModuleDestroy();
  }
}

async function tell(stop: AbortSignal): Promise<void> {
  for (let n = 1; !stop.aborted; n += 1) {
    await sleep(1_000);
    if (n % 30 === 0)
      say(
        `${verdict.counted('submissions accepted')} jobs, ${verdict.counted('tasks processed')} tasks, ` +
          `${verdict.counted('polls')} polls, ${verdict.counted('kill worker')} workers killed`,
      );
  }
}

async function startFailover(): Promise<ReplicatedPostgres> {
  const programs = await findPrograms();
  if (programs) return ReplicatedPostgres.start(programs);
  console.error(`CHAOS_POOLER: ${MISSING}`);
  process.exit(1);
}

async function run(stop: AbortController): Promise<void> {
  const failover = HAS_POOLER ? await startFailover() : null;
  const postgres = failover ?? (await ChaosPostgres.start());
  const sql = observe(postgres.url);
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const receiver = await Receiver.start(secret, new Random(`receiver ${SEED}`), verdict);
  const leases: Leases = new Leases(sql, verdict, database, blocked, PLACES, () => fleet.ableWorkers);
  const port = await freePort();
  const fleet: Fleet = new Fleet(
    { verdict, logs, leases, sql, postgres, failover, api, database, blocked },
    {
      PORT: String(port),
      DATABASE_URL: postgres.url,
      LEASE_SECONDS: String(LEASE_SECONDS),
      DRAIN_SECONDS: '1',
      WORKER_CONCURRENCY: String(PLACES),
      MAX_WORKING_JOBS: '1000',
      DEMO_TASKS: 'true',
      CALLBACK_SECRET: secret,
      CALLBACK_ALLOW_PRIVATE: 'true',
      ADMIN_PASSWORD: randomBytes(12).toString('base64url'),
    },
  );
  const observing = new AbortController();
  try {
    await fleet.ready();
    const tokens = await makeUsers(postgres.url);
    const customers = ACCOUNTS.map((account, n) => {
      const client = new Client(`http://127.0.0.1:${port}`, tokens[n] ?? '', verdict, api, database);
      return new Customer(account, client, new Random(`${account} ${SEED}`), verdict, receiver.url);
    });
    const auditor = new Auditor(sql, verdict);
    const observers = [
      leases.watch(observing.signal),
      auditor.watch(observing.signal),
      tell(observing.signal),
    ];
    const working = customers.map((customer) => customer.work(stop.signal));
    say('all are up, the fire begins');
    await fleet.disturb(drawSchedule(SEED, SECONDS, HAS_POOLER), stop.signal);
    stop.abort();
    say('the fire is over');
    await Promise.all(working);
    await fleet.ready();
    const byMs = Date.now() + END_MS;
    await Promise.all(customers.map((customer) => customer.finish(byMs)));
    const watches = customers.flatMap((customer) => customer.watches);
    await receiver.conclude(watches, byMs);
    observing.abort();
    await Promise.all(observers);
    say('all has ended');
    const kept = watches.filter(({ isGone }) => !isGone).map(({ job }) => job.id);
    await auditor.conclude(new Set(kept));
  } finally {
    stop.abort();
    observing.abort();
    await fleet.close();
    await receiver.stop();
    await sql.end();
    await postgres.remove();
  }
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
const setting = `CHAOS_SEED=${SEED} CHAOS_SECONDS=${SECONDS}${HAS_POOLER ? ' CHAOS_POOLER=true' : ''}`;
console.log(`${setting}: one API that works, ${WORKERS} workers, leases of ${LEASE_SECONDS} s`);
try {
  await run(stop);
} catch (error) {
  verdict.violation(
    'the harness itself is well',
    error instanceof Error ? (error.stack ?? '') : String(error),
  );
}
console.log(`\n${logs.summary()}\n${verdict.summary()}\nAll logs: ${LOG_FILE}\n${setting}`);
process.exit(verdict.isClean ? 0 : 1);
