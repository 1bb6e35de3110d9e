import { Logger } from '@nestjs/common';
import { Gauge, type Registry } from 'prom-client';
import { messageOf } from '../errors.js';
import type { QueueState, QueueStore } from './queue.store.js';

const log = new Logger('Metrics');

/** Gauges of the database, read when they are asked for. While it is away they are missing, and the rest is told. */
export class QueueMetrics {
  readonly #tasks: Gauge<'type' | 'state'>;
  readonly #chunks: Gauge<'type' | 'state'>;
  readonly #jobs: Gauge<'type'>;
  readonly #oldestJob: Gauge<'type'>;
  readonly #oldestChunk: Gauge<'type'>;
  readonly #workers: Gauge;
  readonly #callbacks: Gauge;
  readonly #readable: Gauge;

  /** @param isKnown whether a type is one of the registry's: only those become labels */
  constructor(
    private readonly registry: Registry,
    private readonly store: QueueStore,
    private readonly isKnown: (type: string) => boolean,
  ) {
    const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
      new Gauge({ name, help, labelNames, registers: [registry] });
    this.#tasks = gauge('tally_queue_tasks', 'Tasks without a result, by type and state of their chunk', [
      'type',
      'state',
    ]);
    this.#chunks = gauge('tally_queue_chunks', 'Chunks, by type and state', ['type', 'state']);
    this.#jobs = gauge('tally_jobs_working', 'Jobs that have not ended, by type', ['type']);
    this.#oldestChunk = gauge(
      'tally_oldest_ready_chunk_age_seconds',
      'For how long the oldest chunk that may be claimed has been ready; 0: there is none',
      ['type'],
    );
    this.#oldestJob = gauge(
      'tally_oldest_unbegun_job_age_seconds',
      'For how long the oldest job that may run, and of which no task has begun, waits; 0: there is none',
      ['type'],
    );
    this.#workers = gauge('tally_workers_alive', 'Workers that have been heard of in the last 15 s', []);
    this.#callbacks = gauge('tally_callbacks_due', 'Callbacks that wait to be sent', []);
    this.#readable = gauge(
      'tally_database_up',
      'Whether the numbers of the queue could be read: 1, else 0',
      [],
    );
  }

  async refresh(): Promise<void> {
    try {
      this.#set(await this.store.state());
      this.#readable.set(1);
    } catch (error) {
      log.warn(`the queue cannot be read: ${messageOf(error)}`);
      for (const gauge of this.#gauges()) gauge.reset();
      this.#workers.remove();
      this.#callbacks.remove();
      this.#readable.set(0);
    }
  }

  #gauges() {
    return [this.#tasks, this.#chunks, this.#jobs, this.#oldestChunk, this.#oldestJob];
  }

  #set({ tasks, jobs, workersAlive, callbacksDue }: QueueState): void {
    for (const gauge of this.#gauges()) gauge.reset();
    for (const { type, state, ...row } of tasks) {
      this.#tasks.inc({ type: this.#label(type), state }, row.tasks);
      this.#chunks.inc({ type: this.#label(type), state }, row.chunks);
    }
    const oldest = new Map<string, { chunk: number; job: number }>();
    for (const { type, working, oldestReadySeconds, oldestUnbegunSeconds } of jobs) {
      const label = this.#label(type);
      this.#jobs.inc({ type: label }, working);
      // Several types may be one label, and the oldest of all is its age.
      const { chunk, job } = oldest.get(label) ?? { chunk: 0, job: 0 };
      oldest.set(label, {
        chunk: Math.max(chunk, oldestReadySeconds),
        job: Math.max(job, oldestUnbegunSeconds),
      });
    }
    for (const [type, { chunk, job }] of oldest) {
      this.#oldestChunk.set({ type }, chunk);
      this.#oldestJob.set({ type }, job);
    }
    this.#workers.set(workersAlive);
    this.#callbacks.set(callbacksDue);
  }

  /** Old jobs may be of a type that no process has any more. */
  #label(type: string): string {
    return this.isKnown(type) ? type : 'unknown';
  }
}
