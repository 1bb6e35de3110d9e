import { Controller, Get, Query } from '@nestjs/common';
import { z } from 'zod';
import { Caller } from '../auth/authenticated.guard.js';
import type { Principal } from '../auth/principal.js';
import { Operation } from '../http/operation.js';
import { noQuery, parseInput } from '../http/validate.js';
import { printJobId } from '../jobs/job.js';
import { LEASES_MAX, WORKERS_MAX, WorkerListStore, type WorkerRow } from './worker-list.store.js';

const time = z.iso.datetime();
const count = z.int().min(0);

const workerList = z.strictObject({
  workers: z
    .array(
      z
        .strictObject({
          name: z.string().describe('host:pid:random'),
          types: z.array(z.string()).describe('The task types that it knows'),
          concurrency: count.describe('Tasks that it runs at once'),
          started_at: time,
          seen_at: time.describe('When it was last heard of'),
          alive: z.boolean().describe('Whether that was in the last 15 seconds'),
          running: z
            .array(
              z.strictObject({
                job_id: z.string(),
                job_name: z.string().nullable(),
                type: z.string(),
                tasks: count.describe('Tasks of the lease without a result'),
                first_index: count.describe('Position of its first task in the job'),
                leased_at: time,
                lease_expires_at: time.describe(
                  'When others may take the tasks, unless the worker is heard of',
                ),
              }),
            )
            .describe(`What it holds of the caller’s account, the oldest ${LEASES_MAX} leases at most`),
        })
        .meta({ id: 'Worker' }),
    )
    .describe(`Those of the whole installation, ${WORKERS_MAX} at most, the longest at work first`),
});

/** Who works, and on what. */
@Controller('api/v2/workers')
export class WorkersController {
  constructor(private readonly store: WorkerListStore) {}

  @Get()
  @Operation({
    id: 'listWorkers',
    tag: 'Workers',
    summary: 'The worker processes, and what they run of the account',
    query: noQuery,
    answers: {
      200: {
        description: 'The workers; one that was not heard of for a minute is left out',
        content: { 'application/json': workerList },
      },
    },
    errors: ['RecordInvalid'],
  })
  async list(@Caller() caller: Principal, @Query() query: unknown): Promise<z.output<typeof workerList>> {
    parseInput(noQuery, query);
    return { workers: (await this.store.list(caller.accountId)).map(workerView) };
  }
}

const workerView = (row: WorkerRow) => ({
  name: row.name,
  types: [...row.types],
  concurrency: row.concurrency,
  started_at: row.startedAt.toISOString(),
  seen_at: row.seenAt.toISOString(),
  alive: row.alive,
  running: row.running.map((lease) => ({
    job_id: printJobId(lease.jobId),
    job_name: lease.jobName,
    type: lease.type,
    tasks: lease.tasks,
    first_index: lease.firstIndex,
    leased_at: new Date(lease.leasedAt).toISOString(),
    lease_expires_at: new Date(lease.leaseExpiresAt).toISOString(),
  })),
});
