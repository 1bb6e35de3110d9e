import { Inject, Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { PoolShares } from '../database/pool-shares.js';
import { DomainError, forbidden, notFound } from '../errors.js';
import { JobControlStore, type JobStanding } from './job-control.store.js';
import { parseJobId } from './job.js';
import { tooManyJobs } from './submission-refused.js';

interface Controllable extends JobStanding {
  readonly id: string;
}

/** What can be done to a job: for its submitter and the account's admins. */
@Injectable()
export class JobControlService {
  constructor(
    private readonly store: JobControlStore,
    private readonly shares: PoolShares,
    @Inject(CONFIG) private readonly limits: Pick<Config, 'MAX_WORKING_JOBS'>,
  ) {}

  /**
   * Killing a killed job changes nothing.
   * @returns the job's id
   * @throws DomainError RecordNotFound, Forbidden, JobFinished: it has ended otherwise
   */
  async kill(caller: Principal, text: string): Promise<string> {
    const { id } = await this.#controllable(caller, text);
    if (await this.#write(() => this.store.kill(id))) return id;
    const now = await this.#controllable(caller, text);
    if (now.status !== 'killed') throw finished(now);
    return id;
  }

  /** Running tasks finish, no new ones start. @throws DomainError RecordNotFound, Forbidden, JobFinished */
  async pause(caller: Principal, text: string): Promise<void> {
    const job = await this.#controllable(caller, text);
    if (!(await this.#write(() => this.store.pause(job.id))))
      throw finished(await this.#controllable(caller, text));
  }

  /** @throws DomainError RecordNotFound, Forbidden, JobFinished */
  async resume(caller: Principal, text: string): Promise<void> {
    const job = await this.#controllable(caller, text);
    if (!(await this.#write(() => this.store.resume(job.id))))
      throw finished(await this.#controllable(caller, text));
    await this.#write(() => this.store.unpark(job.id));
  }

  /**
   * Makes a new job of every task that did not succeed; asked again, it is the same new job.
   * @returns the new job's id
   * @throws DomainError RecordNotFound, Forbidden, JobWorking, NothingToRetry, TooManyJobs
   */
  async retry(caller: Principal, text: string): Promise<string> {
    const job = await this.#controllable(caller, text);
    if (job.status === 'working') throw working('A job can be retried when it has ended');
    const { id } = job;
    const { accountId, userId } = caller;
    const max = this.limits.MAX_WORKING_JOBS;
    const retry = () => this.store.retry({ id, accountId }, userId, max);
    const made = await this.shares.submissions.run(retry);
    if (made === null) {
      // Or it is gone since we looked.
      await this.#controllable(caller, text);
      throw new DomainError('NothingToRetry', 'Every task of this job has succeeded');
    }
    if (typeof made !== 'string') throw tooManyJobs(made.working, max);
    return made;
  }

  /** @throws DomainError RecordNotFound, Forbidden, JobWorking */
  async remove(caller: Principal, text: string): Promise<void> {
    const job = await this.#controllable(caller, text);
    if (job.status === 'working') throw working('A job can be deleted when it has ended: kill it first');
    if (!(await this.#write(() => this.store.remove(job.id)))) throw notFound();
  }

  #write<T>(write: () => Promise<T>): Promise<T> {
    return this.shares.control.run(write);
  }

  async #controllable(caller: Principal, text: string): Promise<Controllable> {
    const id = parseJobId(text);
    const standing = id && (await this.store.standing(caller.accountId, id));
    if (!standing) throw notFound();
    if (standing.createdBy !== caller.userId && caller.role !== 'admin')
      throw forbidden('Only the submitter of a job and admins of the account may do this');
    return { id, ...standing };
  }
}

const finished = (job: JobStanding): DomainError =>
  new DomainError('JobFinished', `The job has ended already: it is ${job.status}`);

const working = (description: string): DomainError => new DomainError('JobWorking', description);
