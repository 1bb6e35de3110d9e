import type { FastifyReply } from 'fastify';
import type { Submitted } from './idempotency.service.js';
import { singleStatus, statusUrl, type StatusForm } from './job-status.view.js';

/** The answer to a submission: the status, and where to poll it. 202 for a new job, 200 for one that was made before. */
export function submissionAnswer(
  { row, isReplay }: Submitted,
  form: StatusForm,
  reply: FastifyReply,
): string {
  if (isReplay) void reply.status(200).header('Idempotency-Replayed', 'true');
  void reply.header('Location', statusUrl(form.origin, row.id));
  return singleStatus(row, row.results, form);
}
