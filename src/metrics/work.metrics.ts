import { Counter, Histogram, type Registry } from 'prom-client';
import {
  callbackSent,
  chunksClaimed,
  chunksRescued,
  jobsExpired,
  leaseLost,
  resultsRecorded,
  tasksRan,
} from '../happenings.js';
import { TaskDurations } from './task-durations.js';

/** Counts what this process does. @returns what ends the counting */
export function countWork(registry: Registry): () => void {
  const registers = [registry];
  const claimed = new Counter({ name: 'tally_chunks_claimed_total', help: 'Chunks that this process has leased, by type', labelNames: ['type'], registers }); // prettier-ignore
  const processed = new Counter({ name: 'tally_tasks_processed_total', help: 'Tasks whose result this process has recorded, by type', labelNames: ['type'], registers }); // prettier-ignore
  const failed = new Counter({ name: 'tally_tasks_failed_total', help: 'Those of them that have failed', labelNames: ['type'], registers }); // prettier-ignore
  const record = new Histogram({
    name: 'tally_record_duration_seconds',
    help: 'How long it takes until the database has committed the results of a chunk',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  });
  const lost = new Counter({ name: 'tally_leases_lost_total', help: 'Leases that this process has lost, by type', labelNames: ['type'], registers }); // prettier-ignore
  const rescued = new Counter({ name: 'tally_chunks_rescued_total', help: 'Chunks that this process has taken back from silent workers', registers }); // prettier-ignore
  const callbacks = new Counter({ name: 'tally_callbacks_sent_total', help: 'Requests to callback URLs, by outcome', labelNames: ['outcome'], registers }); // prettier-ignore
  const expired = new Counter({ name: 'tally_jobs_expired_total', help: 'Jobs that this process has removed, since their time is over', registers }); // prettier-ignore
  const durations = new TaskDurations();
  registry.registerMetric(durations as never);
  const ends = [
    chunksClaimed.hear(({ leases }) => {
      for (const { type } of leases) claimed.inc({ type });
    }),
    resultsRecorded.hear((event) => {
      processed.inc({ type: event.type }, event.succeeded + event.failed);
      failed.inc({ type: event.type }, event.failed);
      record.observe(event.seconds);
    }),
    tasksRan.hear(({ type, tasks, seconds }) => durations.observe(type, tasks, seconds)),
    leaseLost.hear(({ type }) => lost.inc({ type })),
    chunksRescued.hear(({ chunks }) => rescued.inc(chunks)),
    callbackSent.hear(({ outcome }) => callbacks.inc({ outcome })),
    jobsExpired.hear(({ jobs }) => expired.inc(jobs)),
  ];
  return () => {
    for (const end of ends) end();
  };
}
