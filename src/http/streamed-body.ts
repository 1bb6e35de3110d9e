import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { DomainError } from '../errors.js';

export interface StreamLimits {
  /** Inflated. */
  readonly maxBytes: number;
  /** So long a client may send nothing. */
  readonly idleMs: number;
  /** Aborted when the process cannot wait any longer. */
  readonly signal: AbortSignal;
}

/** A body that is read piece by piece, by whoever handles the request. What is left of it when it is answered is discarded. */
export class StreamedBody {
  readonly #hash = createHash('sha256');
  #sha256: Buffer | null = null;

  /** @param payload the bytes, inflated */
  constructor(
    private readonly payload: Readable,
    private readonly limits: StreamLimits,
  ) {}

  /**
   * The pieces, as they arrive. To leave early is no error: the connection stays, for the answer.
   * @throws DomainError PayloadTooLarge, RequestTimeout; InvalidRequest: the connection was cut, or the bytes cannot be inflated;
   *   Unavailable: the process is stopping
   */
  async *bytes(): AsyncGenerator<Buffer> {
    const pieces = this.payload.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
    let total = 0;
    try {
      for (;;) {
        const next = await this.#next(pieces);
        if (next.done === true) break;
        const { value } = next;
        total += value.length;
        if (total > this.limits.maxBytes) throw bodyTooLarge(this.limits.maxBytes);
        this.#hash.update(value);
        yield value;
      }
      this.#sha256 = this.#hash.digest();
    } finally {
      // Not awaited: it ends with the piece that is waited for, which may never come.
      pieces.return?.().catch(() => undefined);
    }
  }

  /** SHA-256 of the whole body; reads it, if nobody has. @throws DomainError as `bytes` */
  async sha256(): Promise<Buffer> {
    const pieces = this.bytes();
    if (this.#sha256 === null) while (!(await pieces.next()).done);
    if (this.#sha256 === null) throw new Error('a body was asked for its hash while it was being read');
    return this.#sha256;
  }

  async #next(pieces: AsyncIterator<Buffer>): Promise<IteratorResult<Buffer>> {
    const { idleMs, signal } = this.limits;
    let giveUp: () => void = () => undefined;
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      giveUp = () => reject(stopping());
      if (signal.aborted) giveUp();
      signal.addEventListener('abort', giveUp, { once: true });
      timer = setTimeout(() => reject(silent(idleMs)), idleMs);
    });
    try {
      return await Promise.race([pieces.next(), tooLong]);
    } catch (error) {
      throw error instanceof DomainError ? error : (bodyError(error) ?? error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }
}

export const bodyTooLarge = (maxBytes: number): DomainError =>
  new DomainError('PayloadTooLarge', `Expected a request body of at most ${maxBytes} bytes`);

const silent = (ms: number): DomainError =>
  new DomainError('RequestTimeout', `Nothing of the body has arrived for ${Math.round(ms / 1_000)} seconds`);

const stopping = (): DomainError =>
  new DomainError('Unavailable', 'This process is stopping', { retryAfterSeconds: 1 });

/** What is wrong with the bytes of a body, when that is what the error is about. */
export function bodyError(error: unknown): DomainError | null {
  const { code, syscall } = (error ?? {}) as { readonly code?: unknown; readonly syscall?: unknown };
  // Node names the call where a connection of ours is reset, such as one to the database, and none where a request is aborted.
  if (syscall !== undefined) return null;
  if (typeof code === 'string' && code.startsWith('Z_'))
    return new DomainError('InvalidRequest', 'Expected the body to be whole gzip');
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR')
    return new DomainError('InvalidRequest', 'The connection was cut before the body had arrived');
  return null;
}
