import { entityTag } from '../http/etag.js';
import { singleHead, singleStatus, type StatusForm } from './job-status.view.js';
import type { PolledRow, StatusHead } from './job.store.js';

/**
 * How long after a look at an ended job its answers are given without another: an ended job never changes again, but another
 * process may delete it, or it may expire.
 */
const TRUSTED_MS = 100;
/**
 * After this much of it a poll has the next look taken beside its answer, so that a job that is polled all the time never has
 * clients wait for one.
 */
const LOOKED_AT_AGAIN_MS = 75;

/** Bytes of an answer beside its results, about. */
const HEAD_BYTES = 1_024;

/** What a process knows of a job: its status as it was read last, and the answer that was made of it last. */
export class KnownStatus {
  #seenAtMs: number;
  /** When the last look was taken that no poll waits for. */
  #lookedAtMs = -Infinity;
  #answer: { readonly form: StatusForm; readonly etag: string; readonly body: Buffer } | null = null;

  /** @param seenAtMs before it was read */
  constructor(
    private row: PolledRow,
    private readonly resultsMax: number,
    seenAtMs: number,
  ) {
    this.#seenAtMs = seenAtMs;
  }

  get head(): StatusHead {
    return this.row;
  }

  /** Of memory that it takes, about: the results as they came, and once more in an answer. */
  get bytes(): number {
    return HEAD_BYTES + 2 * this.row.results.length;
  }

  /** Whether it is given out without a look at the database. */
  isTrusted(nowMs: number): boolean {
    return this.row.status !== 'working' && nowMs - this.#seenAtMs < TRUSTED_MS;
  }

  /** @returns whether a look is due that nobody takes yet; who asks takes it */
  takeLook(nowMs: number): boolean {
    if (nowMs - Math.max(this.#seenAtMs, this.#lookedAtMs) < LOOKED_AT_AGAIN_MS) return false;
    this.#lookedAtMs = nowMs;
    return true;
  }

  /**
   * The job was looked at again. The results are settled by its version, the message of one that waits is not.
   * @returns whether these are still its results
   */
  confirm(head: StatusHead, seenAtMs: number): boolean {
    if (head.version !== this.row.version) return false;
    if (head.message !== this.row.message) {
      this.row = { ...this.row, message: head.message };
      this.#answer = null;
    }
    this.#seenAtMs = seenAtMs;
    return true;
  }

  /** The position after which more results follow; null when all are in the body. */
  get moreAfter(): number | null {
    return this.row.progress > this.resultsMax ? this.row.lastInline : null;
  }

  answer(form: StatusForm): { readonly etag: string; readonly body: Buffer } {
    const made = this.#answer;
    // A body has the name in it by which the service was reached: it is not for a request that came by another.
    if (made?.form.origin === form.origin && made.form.envelope === form.envelope) return made;
    const body = Buffer.from(singleStatus(this.row, this.row.results, form));
    const answer = { form, etag: statusTag(this.row, form, this.resultsMax), body };
    this.#answer = answer;
    return answer;
  }
}

/** The results are settled by the version and RESULTS_INLINE_MAX, all else stands in the head. */
export const statusTag = (head: StatusHead, form: StatusForm, resultsMax: number): string =>
  entityTag(head.version, singleHead(head, form), String(resultsMax));
