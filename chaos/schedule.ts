import type { Promotion } from './database.js';
import { Random } from './random.js';

/** What is done to the service and when. All of it is drawn before the run begins, so that a seed says everything. */
export type Disturbance = { readonly atMs: number } & (
  | { readonly kind: 'kill worker' | 'terminate worker'; readonly worker: number; readonly restartMs: number }
  | { readonly kind: 'kill api' | 'terminate api'; readonly restartMs: number }
  | { readonly kind: 'stop worker'; readonly worker: number; readonly forMs: number }
  | { readonly kind: 'end backends'; readonly shares: readonly number[] }
  | { readonly kind: 'restart postgres' | 'restart pooler'; readonly downMs: number }
  | ({ readonly kind: 'promotion' } & Promotion)
);

export const WORKERS = 3;
export const LEASE_SECONDS = 2;

/** Boots take two seconds on two busy cores: more often than this, and there would be nobody left to disturb. */
const PAUSE_MS = [800, 4_200] as const;
const FIRST_MS = 2_000;

const KINDS = [
  ['kill worker', 7],
  ['terminate worker', 4],
  ['stop worker', 3],
  ['end backends', 5],
  ['kill api', 2],
  ['terminate api', 1],
  ['restart postgres', 1.5],
] as const;

/** With a standby and a pooler. A promotion can only be when the standby is made anew after the one before. */
const FAILOVER_KINDS = [...KINDS, ['promotion', 3], ['restart pooler', 1.5]] as const;

/** @param hasFailover whether there are a standby and a pooler */
export function drawSchedule(seed: string, seconds: number, hasFailover: boolean): Disturbance[] {
  const random = new Random(`schedule ${seed}`);
  const schedule: Disturbance[] = [];
  for (let atMs = FIRST_MS; atMs < seconds * 1_000; atMs += random.integer(...PAUSE_MS))
    schedule.push(draw(random, atMs, random.weighted<Kind>(hasFailover ? FAILOVER_KINDS : KINDS)));
  return schedule;
}

type Kind = Disturbance['kind'];

function draw(random: Random, atMs: number, kind: Kind): Disturbance {
  switch (kind) {
    case 'kill worker':
    case 'terminate worker':
      return { atMs, kind, worker: random.integer(0, WORKERS - 1), restartMs: random.integer(50, 2_000) };
    case 'kill api':
    case 'terminate api':
      return { atMs, kind, restartMs: random.integer(50, 1_000) };
    case 'stop worker': {
      // Mostly longer than the lease, sometimes just about as long.
      const forMs = random.integer(LEASE_SECONDS * 900, LEASE_SECONDS * 3_000);
      return { atMs, kind, worker: random.integer(0, WORKERS - 1), forMs };
    }
    case 'end backends':
      return {
        atMs,
        kind,
        shares: Array.from({ length: random.integer(1, 6) }, () => random.next()),
      };
    case 'restart postgres':
    case 'restart pooler':
      return { atMs, kind, downMs: random.integer(0, 2_000) };
    case 'promotion':
      return { atMs, kind, downMs: random.integer(0, 2_000), leadsFirst: random.chance(0.5) };
  }
}
