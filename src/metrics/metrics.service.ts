import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { LaneService } from '../database/lane.service.js';
import { PrismaService } from '../database/prisma.service.js';
import { JobWatcher } from '../jobs/job-watcher.js';
import { TaskTypes } from '../jobs/task-types.js';
import { measureHttp } from './http.metrics.js';
import { measurePools } from './pool.metrics.js';
import { QueueMetrics } from './queue.metrics.js';
import { QueueStore } from './queue.store.js';
import { countWork } from './work.metrics.js';

/** Everything that can be measured of this process, and of the queue that all share. */
@Injectable()
export class MetricsService implements OnModuleDestroy {
  readonly #registry = new Registry();
  readonly #queue: QueueMetrics;
  readonly #stopCounting: () => void;

  constructor(
    adapter: HttpAdapterHost,
    queue: QueueStore,
    types: TaskTypes,
    watcher: JobWatcher,
    prisma: PrismaService,
    lanes: LaneService,
  ) {
    const registry = this.#registry;
    collectDefaultMetrics({ register: registry });
    this.#queue = new QueueMetrics(registry, queue, (type) => types.get(type) !== undefined);
    this.#stopCounting = countWork(registry);
    measurePools(registry, { main: () => prisma.poolUse(), lanes: () => lanes.poolUse() });
    new Gauge({
      name: 'tally_waiting_clients',
      help: 'Clients that wait for a job to change: by Prefer: wait, or on its events',
      registers: [registry],
      collect() {
        this.set(watcher.watches);
      },
    });
    // Hooks count for the routes made after them, and Nest makes its own when all providers are there.
    measureHttp(adapter.httpAdapter.getInstance<FastifyInstance>(), registry);
  }

  /** In the text format of Prometheus. */
  async text(): Promise<string> {
    await this.#queue.refresh();
    return this.#registry.metrics();
  }

  onModuleDestroy(): void {
    this.#stopCounting();
  }
}
