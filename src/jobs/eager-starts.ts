import { Injectable } from '@nestjs/common';
import type { NewJob } from './submission.sql.js';

/** A run of tasks at consecutive positions: a JSON array, as text or as UTF-8. */
export interface SubmittedChunk {
  readonly firstPosition: number;
  readonly size: number;
  readonly tasks: string | Buffer;
}

/** A job as it is submitted in one piece. */
export interface Submission extends NewJob {
  readonly chunks: readonly SubmittedChunk[];
}

/** The leases with which the chunks of a job may be inserted; an element a chunk. */
export interface EagerStart {
  readonly worker: string;
  readonly leaseMs: number;
  /** While an account waits for one of these, the chunks are inserted as ready instead, and wait behind it. */
  readonly types: readonly string[];
  readonly leaseIds: readonly string[];
  readonly slots: readonly number[];
  /**
   * Must be called once, whatever has become of the submission.
   * @param leased the ids of the chunks that were inserted with these leases, by lease id
   */
  readonly settle: (leased: ReadonlyMap<string, bigint>) => void;
}

/** The worker of this process, as far as it begins with new jobs itself. */
export interface EagerStarter {
  /** Keeps room for the job's chunks. @returns null: there is none */
  readonly reserve: (job: Submission) => EagerStart | null;
}

/**
 * Jobs that begin in the process that takes them in. Where its worker has room for all of a job, and no account waits for a turn,
 * the chunks are inserted as leased: it claims nothing, and the way to the first task is shorter by a round trip and a statement. The
 * idea is that of Temporal's eager workflow start.
 */
@Injectable()
export class EagerStarts {
  #starter: EagerStarter | null = null;

  /** @param starter null: there is none any more */
  by(starter: EagerStarter | null): void {
    this.#starter = starter;
  }

  reserve(job: Submission): EagerStart | null {
    return this.#starter?.reserve(job) ?? null;
  }
}
