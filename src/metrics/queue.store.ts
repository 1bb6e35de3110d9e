import { Injectable } from '@nestjs/common';
import { PrismaService } from '../database/prisma.service.js';

/** How the queue stands; all workers' together. */
export interface QueueState {
  readonly tasks: readonly {
    type: string;
    state: 'ready' | 'waiting' | 'leased';
    tasks: number;
    chunks: number;
  }[];
  readonly jobs: readonly { type: string; working: number; oldestReadySeconds: number }[];
  readonly workersAlive: number;
  readonly callbacksDue: number;
}

/** For so long what was read is told again: several scrapers, or a hasty one, must not read the queue each. */
const FRESH_MS = 5_000;

/** Reads the queue for the metrics. */
@Injectable()
export class QueueStore {
  #read: Promise<QueueState> | null = null;
  #readAtMs = -Infinity;

  constructor(private readonly prisma: PrismaService) {}

  /** As it is now, or was a few seconds ago. @throws what the database throws */
  state(): Promise<QueueState> {
    if (this.#read && performance.now() - this.#readAtMs < FRESH_MS) return this.#read;
    this.#readAtMs = performance.now();
    const read = this.#query();
    this.#read = read;
    read.catch(() => (this.#read = null));
    return read;
  }

  /**
   * One statement, so that the numbers are of one moment. It reads the chunks once, without their tasks, which are stored apart.
   * A chunk keeps no time at which it became ready: that would cost every submission. So a job is as old as its start, and
   * only one that waits for its first task counts.
   */
  async #query(): Promise<QueueState> {
    const [row] = await this.prisma.$queryRaw<[QueueState]>`
      WITH chunks AS MATERIALIZED (
        SELECT type, state, sum(size - recorded)::float8 AS tasks, count(*)::float8 AS chunks
          FROM task_chunks WHERE state IN ('ready', 'waiting', 'leased') GROUP BY type, state),
      jobs AS MATERIALIZED (
        SELECT type, count(*)::float8 AS working,
               coalesce(extract(epoch FROM clock_timestamp() - min(coalesce(start_at, created_at))
                 FILTER (WHERE started_at IS NULL AND NOT paused
                           AND coalesce(start_at, created_at) <= clock_timestamp())), 0)::float8 AS "oldestReadySeconds"
          FROM job_statuses WHERE status = 'working' GROUP BY type)
      SELECT (SELECT coalesce(json_agg(c), '[]') FROM chunks c) AS tasks,
             (SELECT coalesce(json_agg(j), '[]') FROM jobs j) AS jobs,
             (SELECT count(*)::float8 FROM workers WHERE seen_at > clock_timestamp() - interval '15 seconds') AS "workersAlive",
             (SELECT count(*)::float8 FROM job_callbacks WHERE due_at <= clock_timestamp()) AS "callbacksDue"`;
    return row;
  }
}
