import { Inject, Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { notFound } from '../errors.js';
import { isKnown } from '../http/etag.js';
import { BatchedReads } from './batched-reads.js';
import { parseJobId } from './job.js';
import type { StatusForm } from './job-status.view.js';
import { JobStore, type PolledRow, type StatusHead } from './job.store.js';
import { JobWatcher } from './job-watcher.js';
import { KnownStatus, statusTag } from './known-status.js';
import { SharedReads } from './shared-reads.js';

export interface Poll {
  /** Of the answer. */
  readonly form: StatusForm;
  /** The header If-None-Match. */
  readonly ifNoneMatch: string | undefined;
  /** How long to hold the answer; null: not at all. */
  readonly waitSeconds: number | null;
  /** Aborted when the client has gone; asked for only where the answer is held. */
  readonly signal: () => AbortSignal;
}

export interface PollAnswer {
  readonly etag: string;
  /** JSON text; null: the client has it already. */
  readonly body: Buffer | null;
  /** The position after which more results follow; null when all are in the body. */
  readonly moreAfter: number | null;
}

/** Memory that known statuses take, and one of them, at most. */
const KNOWN_BYTES_MAX = 16 * 1024 * 1024;
const KNOWN_EACH_MAX = 2 * 1024 * 1024;

/**
 * Answers polls of single statuses, as cheaply as can be: a service of jobs is mostly asked how far they are.
 *
 * What was read of a job is kept, with the version that settles its results. Whether that is still its version is asked each
 * time, in one small statement for all jobs that are polled at the same moment, and the results are read again only when it is
 * not. Of an ended job it is asked 13 times a second at most (docs/performance.md has what each of these brings).
 */
@Injectable()
export class StatusPolls {
  readonly #known = new LRUCache<string, KnownStatus>({
    maxSize: KNOWN_BYTES_MAX,
    maxEntrySize: KNOWN_EACH_MAX,
    sizeCalculation: ({ bytes }) => bytes,
  });
  readonly #versions = new BatchedReads<StatusHead>(async (ids) => {
    const heads = await this.store.heads(ids);
    return new Map(heads.map((head) => [head.id, head]));
  });
  readonly #heads = new SharedReads<StatusHead | null>();
  readonly #statuses = new SharedReads<PolledRow | null>();
  /** Rises with each job that is forgotten: what was read before is not kept after. */
  #forgotten = 0;

  constructor(
    private readonly store: JobStore,
    private readonly watcher: JobWatcher,
    @Inject(CONFIG) private readonly limits: Pick<Config, 'RESULTS_INLINE_MAX'>,
  ) {}

  /** @throws DomainError RecordNotFound: no such job in the caller's account (any more), or no id at all */
  async answer({ accountId }: Principal, text: string, poll: Poll): Promise<PollAnswer> {
    const id = parseJobId(text);
    if (id === null) throw notFound();
    const { form, ifNoneMatch } = poll;
    if (ifNoneMatch !== undefined || poll.waitSeconds !== null) {
      const tagOf = (head: StatusHead) => statusTag(head, form, this.limits.RESULTS_INLINE_MAX);
      const head = await this.#awaited(accountId, id, poll, (now) => isKnown(tagOf(now), ifNoneMatch));
      const etag = tagOf(head);
      if (isKnown(etag, ifNoneMatch)) return { etag, body: null, moreAfter: null };
    }
    const status = await this.#status(accountId, id);
    const { etag, body } = status.answer(form);
    return { etag, body, moreAfter: status.moreAfter };
  }

  /** As `answer` to a poll that is not held, where nothing has to be waited for. @returns null: ask `answer` */
  ready(
    { accountId }: Principal,
    text: string,
    { form, ifNoneMatch }: Pick<Poll, 'form' | 'ifNoneMatch'>,
  ): PollAnswer | null {
    const id = parseJobId(text);
    if (id === null) return null;
    const key = keyOf(accountId, id);
    const known = this.#known.get(key);
    const nowMs = performance.now();
    if (!known?.isTrusted(nowMs)) return null;
    if (known.takeLook(nowMs)) void this.#look(key, id, known, nowMs);
    const { etag, body } = known.answer(form);
    if (isKnown(etag, ifNoneMatch)) return { etag, body: null, moreAfter: null };
    return { etag, body, moreAfter: known.moreAfter };
  }

  /** The job was deleted here: it is not given out again. */
  forget({ accountId }: Principal, text: string): void {
    this.#forgotten += 1;
    this.#known.delete(keyOf(accountId, parseJobId(text) ?? ''));
  }

  /** The job's state: as it is, or as it is when what the client waits for has come, or the time is over. */
  async #awaited(
    accountId: number,
    id: string,
    { ifNoneMatch, waitSeconds, signal }: Poll,
    isKnownToClient: (now: StatusHead) => boolean,
  ): Promise<StatusHead> {
    const head = (await this.#current(accountId, id))?.head ?? (await this.#readHead(accountId, id));
    const until = (now: StatusHead) =>
      now.status !== 'working' || (ifNoneMatch !== undefined && !isKnownToClient(now));
    if (waitSeconds === null || until(head)) return head;
    const now = await this.watcher.watch(id, { until, timeoutMs: waitSeconds * 1_000, signal: signal() });
    if (now === null) throw notFound();
    return now ?? head;
  }

  async #readHead(accountId: number, id: string): Promise<StatusHead> {
    const head = await this.#heads.read(keyOf(accountId, id), () => this.store.head(accountId, id));
    if (!head) throw notFound();
    return head;
  }

  async #status(accountId: number, id: string): Promise<KnownStatus> {
    return (await this.#current(accountId, id)) ?? this.#readStatus(accountId, id);
  }

  /** What is known of the job, where that is what it is now. @throws DomainError RecordNotFound: it has been deleted */
  async #current(accountId: number, id: string): Promise<KnownStatus | null> {
    const key = keyOf(accountId, id);
    const known = this.#known.get(key);
    if (!known) return null;
    const nowMs = performance.now();
    if (known.isTrusted(nowMs)) return known;
    const isCurrent = await this.#confirmed(key, id, known, nowMs);
    if (isCurrent === null) throw notFound();
    return isCurrent ? known : null;
  }

  /** @returns whether what is known is what the job is now; null: it has been deleted */
  async #confirmed(key: string, id: string, known: KnownStatus, nowMs: number): Promise<boolean | null> {
    const head = await this.#versions.read(id);
    if (head) return known.confirm(head, nowMs);
    this.#known.delete(key);
    return null;
  }

  /** The look that a poll has taken which did not wait for it. */
  async #look(key: string, id: string, known: KnownStatus, nowMs: number): Promise<void> {
    try {
      await this.#confirmed(key, id, known, nowMs);
    } catch {
      // Then what is known is not trusted any longer than it was. The poll that finds it so looks itself, and is told of it.
    }
  }

  async #readStatus(accountId: number, id: string): Promise<KnownStatus> {
    const key = keyOf(accountId, id);
    const max = this.limits.RESULTS_INLINE_MAX;
    const forgotten = this.#forgotten;
    const nowMs = performance.now();
    const row = await this.#statuses.read(key, () => this.store.status(accountId, id, max));
    if (!row) throw notFound();
    const known = this.#known.get(key);
    // Of those who share a read, the first has kept it.
    if (known?.head === row) return known;
    const status = new KnownStatus(row, max, nowMs);
    if (forgotten === this.#forgotten) this.#known.set(key, status);
    return status;
  }
}

const keyOf = (accountId: number, id: string): string => `${accountId} ${id}`;
