import { Inject, Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { PoolShares } from '../database/pool-shares.js';
import { DomainError, notFound } from '../errors.js';
import type { KeyedRequest } from '../http/keyed-request.js';
import { IdempotencyStore } from './idempotency.store.js';
import { JobStore, type StatusRow } from './job.store.js';
import { whileKept } from './lease-keeper.js';
import type { HeldKey } from './submission.sql.js';

/** The key that a submission holds, to be named where its job is added. */
export interface SubmissionKey {
  /** Reads what is left of the body. */
  readonly held: () => Promise<HeldKey>;
}

export interface Submitted {
  readonly row: StatusRow;
  /** Whether the job was made by an earlier request with the same key. */
  readonly isReplay: boolean;
}

type Settings = Pick<Config, 'LEASE_SECONDS' | 'RESULTS_INLINE_MAX'>;

/** One job a key: a request that is repeated is answered with the job that the first one made. */
@Injectable()
export class IdempotencyService {
  constructor(
    private readonly store: IdempotencyStore,
    private readonly jobs: JobStore,
    private readonly shares: PoolShares,
    @Inject(CONFIG) private readonly settings: Settings,
  ) {}

  /**
   * Submits, unless a request with the same key has done so. The key is freed when the submission is refused; when the process
   * dies, its lease runs out.
   * @param submit is given the key to commit with its job; null: the request has none
   * @throws DomainError RequestInProgress, IdempotencyMismatch; RecordNotFound: the first job has been deleted; what `submit`
   *   throws
   */
  async once(
    caller: Principal,
    request: KeyedRequest | null,
    submit: (key: SubmissionKey | null) => Promise<StatusRow>,
  ): Promise<Submitted> {
    if (!request) return { row: await submit(null), isReplay: false };
    const ref = { accountId: caller.accountId, key: request.key, owner: randomUUID() };
    const leaseMs = this.settings.LEASE_SECONDS * 1_000;
    const known = await this.shares.submissions.run(() => this.store.hold(ref, leaseMs));
    if (known?.jobId && known.fingerprint) {
      if (!(await request.fingerprint()).equals(known.fingerprint)) throw mismatch();
      return { row: await this.#first(caller, known.jobId), isReplay: true };
    }
    if (known) throw inProgress();
    const held = async () => ({ ...ref, fingerprint: Uint8Array.from(await request.fingerprint()) });
    try {
      const row = await whileKept(
        leaseMs,
        () => this.store.renew(ref, leaseMs),
        () => submit({ held }),
      );
      return { row, isReplay: false };
    } catch (error) {
      // Should this fail too, the lease sees to it.
      await this.store.release(ref).catch(() => undefined);
      throw error;
    }
  }

  async #first(caller: Principal, id: string): Promise<StatusRow> {
    const row = await this.jobs.status(caller.accountId, id, this.settings.RESULTS_INLINE_MAX);
    if (!row) throw notFound();
    return row;
  }
}

const inProgress = (): DomainError =>
  new DomainError('RequestInProgress', 'A request with this Idempotency-Key is under way', {
    retryAfterSeconds: 1,
  });

const mismatch = (): DomainError =>
  new DomainError(
    'IdempotencyMismatch',
    'This Idempotency-Key came with another request before: expected the same method, path, query and body',
  );
