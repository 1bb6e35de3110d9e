import { DomainError, invalid } from '../errors.js';
import { CHECK_VIOLATION, sqlState } from '../sql-errors.js';
import { printJobId } from './job.js';
import type { JobOptions } from './job.schemas.js';
import type { SubmissionOutcome } from './submission.sql.js';

/** Seconds after which a refused client may ask again: nobody knows when a job ends. */
const TOO_MANY_JOBS_RETRY_SECONDS = 5;

export const tooManyJobs = (working: readonly string[], max: number): DomainError =>
  new DomainError('TooManyJobs', `Expected at most ${max} working jobs in an account`, {
    retryAfterSeconds: TOO_MANY_JOBS_RETRY_SECONDS,
    extra: { current_job_ids: working.map(printJobId) },
  });

export const tooManyTasks = (max: number, description: string): DomainError =>
  new DomainError('TooManyValues', `Expected at most ${max} tasks${description}`, {
    extra: { max_count: max },
  });

/**
 * Runs the statement that adds a job. Whether a deadline has passed already is for Postgres's clock to say, which a constraint
 * does.
 * @throws DomainError TooManyJobs; RecordInvalid: the deadline has passed; Unavailable: a lease has run out, so that what the
 *   request held may be another's
 */
export async function addJob(
  options: JobOptions,
  maxWorkingJobs: number,
  add: () => Promise<SubmissionOutcome>,
): Promise<void> {
  let outcome: SubmissionOutcome;
  try {
    outcome = await add();
  } catch (error) {
    if (sqlState(error) !== CHECK_VIOLATION || !options.deadline) throw error;
    throw invalid([{ field: 'deadline', description: 'expected a time to come' }]);
  }
  if (outcome === 'lost') throw leaseLost();
  if (outcome !== 'made') throw tooManyJobs(outcome.working, maxWorkingJobs);
}

export const leaseLost = (): DomainError =>
  new DomainError('Unavailable', 'The submission was interrupted for too long; nothing of it is kept', {
    retryAfterSeconds: 1,
  });
