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
  readonly jobs: readonly {
    type: string;
    working: number;
    /** Of those of which no task has begun, though they may. */
    oldestUnbegunSeconds: number;
    /** Of the chunks that a worker could claim. */
    oldestReadySeconds: number;
  }[];
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
   * One statement, so that the numbers are of one moment. It reads the chunks once, without their tasks, which are stored apart:
   * see docs/metrics.md for what that costs. The age of the ready chunks comes with the same look, so it needs no index, which
   * every submission and claim would pay for. Chunks of a job that is paused or over are no worker's, also where nobody has
   * parked them yet.
   */
  async #query(): Promise<QueueState> {
    const [row] = await this.prisma.$queryRaw<[QueueState]>`
      WITH chunks AS MATERIALIZED (
        SELECT job_id, type, state, sum(size - recorded) AS tasks, count(*) AS chunks, min(ready_at) AS ready_at
          FROM task_chunks WHERE state IN ('ready', 'waiting', 'leased') GROUP BY job_id, type, state),
      tasks AS MATERIALIZED (
        SELECT type, state, sum(tasks)::float8 AS tasks, sum(chunks)::float8 AS chunks FROM chunks GROUP BY type, state),
      jobs AS MATERIALIZED (
        SELECT j.type, count(*)::float8 AS working,
               coalesce(extract(epoch FROM clock_timestamp() - min(coalesce(start_at, created_at))
                 FILTER (WHERE started_at IS NULL AND NOT paused
                           AND coalesce(start_at, created_at) <= clock_timestamp())), 0)::float8 AS "oldestUnbegunSeconds",
               coalesce(extract(epoch FROM clock_timestamp() - min(c.ready_at) FILTER (WHERE NOT paused)),
                 0)::float8 AS "oldestReadySeconds"
          FROM job_statuses j LEFT JOIN chunks c ON c.job_id = j.id AND c.state = 'ready'
         WHERE j.status = 'working' GROUP BY j.type)
      SELECT (SELECT coalesce(json_agg(t), '[]') FROM tasks t) AS tasks,
             (SELECT coalesce(json_agg(j), '[]') FROM jobs j) AS jobs,
             (SELECT count(*)::float8 FROM workers WHERE seen_at > clock_timestamp() - interval '15 seconds') AS "workersAlive",
             (SELECT count(*)::float8 FROM job_callbacks WHERE due_at <= clock_timestamp()) AS "callbacksDue"`;
    return row;
  }
}
