import type pg from 'pg';

/** How a pool of connections stands. */
export interface PoolUse {
  readonly open: number;
  readonly idle: number;
  /** Those who wait for a connection. */
  readonly waiting: number;
  readonly max: number;
}

export const useOf = (pool: pg.Pool): PoolUse => ({
  open: pool.totalCount,
  idle: pool.idleCount,
  waiting: pool.waitingCount,
  max: pool.options.max,
});
