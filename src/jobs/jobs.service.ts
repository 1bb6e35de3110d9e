import { Inject, Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { DomainError, invalid, notFound } from '../errors.js';
import type { Page, PageRequest } from '../http/paging.js';
import { parseJobId } from './job.js';
import type { JobFilter } from './job.schemas.js';
import { JobStore, type JobRow, type KeptJob, type StatusRow } from './job.store.js';

type Settings = Pick<Config, 'RESULTS_INLINE_MAX' | 'RETENTION_HOURS'>;

const HOUR_MS = 3_600_000;

/** Bytes of the results of several jobs in one answer, at most: as many as those of a single job may have. */
const MANY_BYTES_MAX = 64 * 1024 * 1024;

/** What can be asked about jobs. */
@Injectable()
export class JobsService {
  constructor(
    private readonly store: JobStore,
    @Inject(CONFIG) private readonly settings: Settings,
  ) {}

  /** @throws DomainError RecordNotFound: no such job in the caller's account, or no id at all */
  async status(caller: Principal, id: string): Promise<StatusRow> {
    const parsed = parseJobId(id);
    const row =
      parsed && (await this.store.status(caller.accountId, parsed, this.settings.RESULTS_INLINE_MAX));
    if (!row) throw notFound();
    return row;
  }

  /**
   * In the order asked; what the account does not have is left out.
   * @throws DomainError TooManyValues: their results are more than one answer should hold; fewer may be asked for
   */
  async statusMany(caller: Principal, ids: readonly string[]): Promise<StatusRow[]> {
    const parsed = ids.flatMap((id) => parseJobId(id.trim()) ?? []);
    if (parsed.length === 0) return [];
    const max = this.settings.RESULTS_INLINE_MAX;
    if (parsed.length > 1) await this.#refuseTooMuch(caller, parsed, max);
    return this.store.statusMany(caller.accountId, parsed, max);
  }

  /** A hundred jobs of a thousand results of 64 KiB would be 6 GiB in this process. */
  async #refuseTooMuch(caller: Principal, ids: readonly string[], resultsMax: number): Promise<void> {
    const bytesOf = await this.store.inlineBytes(caller.accountId, ids, resultsMax);
    let bytes = 0;
    for (const [at, id] of ids.entries()) {
      bytes += bytesOf.get(id) ?? 0;
      if (at > 0 && bytes > MANY_BYTES_MAX)
        throw new DomainError(
          'TooManyValues',
          `Expected ids of jobs with at most ${MANY_BYTES_MAX} bytes of results in all: ask for the first ${at} alone`,
          { extra: { max_count: at } },
        );
    }
  }

  /** @throws DomainError RecordNotFound */
  async job(caller: Principal, id: string): Promise<KeptJob> {
    const parsed = parseJobId(id);
    const row = parsed && (await this.store.job(caller.accountId, parsed));
    if (!row) throw notFound();
    return this.#kept(row);
  }

  /** Many jobs, whosever they are, in no order: for those who may already see them. */
  async known(ids: readonly string[]): Promise<KeptJob[]> {
    if (ids.length === 0) return [];
    return (await this.store.jobs(ids)).map((row) => this.#kept(row));
  }

  async list(caller: Principal, filter: JobFilter, page: PageRequest): Promise<Page<KeptJob>> {
    for (const field of ['after', 'before'] as const) {
      const cursor = page[field];
      if (cursor !== undefined && parseJobId(cursor) === null)
        throw invalid([
          { field: `page[${field}]`, description: 'expected a cursor that an earlier page gave' },
        ]);
    }
    const found = await this.store.list(caller.accountId, filter, page);
    return { ...found, rows: found.rows.map((row) => this.#kept(row)) };
  }

  /**
   * The sweep asks Postgres the same: when its clock says `finished_at` and the hours. Computed and not stored, so another
   * RETENTION_HOURS holds for the jobs that there are as well.
   */
  #kept(row: JobRow): KeptJob {
    const expiresAt =
      row.finishedAt && new Date(row.finishedAt.getTime() + this.settings.RETENTION_HOURS * HOUR_MS);
    return { ...row, expiresAt };
  }
}
