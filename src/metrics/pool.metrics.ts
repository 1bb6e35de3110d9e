import { Gauge, type Registry } from 'prom-client';
import type { PoolUse } from '../database/pool-use.js';

/** Connections to Postgres, by pool. */
export function measurePools(registry: Registry, pools: Readonly<Record<string, () => PoolUse>>): void {
  new Gauge({
    name: 'tally_pool_connections',
    help: 'Connections to Postgres, by pool and whether they are in use',
    labelNames: ['pool', 'state'],
    registers: [registry],
    collect() {
      for (const [pool, use] of Object.entries(pools)) {
        const { open, idle } = use();
        this.set({ pool, state: 'idle' }, idle);
        this.set({ pool, state: 'used' }, open - idle);
      }
    },
  });
  new Gauge({
    name: 'tally_pool_connections_max',
    help: 'Connections that a pool may have',
    labelNames: ['pool'],
    registers: [registry],
    collect() {
      for (const [pool, use] of Object.entries(pools)) this.set({ pool }, use().max);
    },
  });
  new Gauge({
    name: 'tally_pool_waiting',
    help: 'Statements that wait for a connection, by pool',
    labelNames: ['pool'],
    registers: [registry],
    collect() {
      for (const [pool, use] of Object.entries(pools)) this.set({ pool }, use().waiting);
    },
  });
}
