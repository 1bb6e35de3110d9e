import { Logger } from '@nestjs/common';
import { printJobId } from '../jobs/job.js';
import type {
  HandlerContext,
  TaskContext,
  BatchContext,
  TaskLog,
  TaskTransaction,
} from '../jobs/task-handler.js';
import type { Lease } from './lease.sql.js';

/** What the contexts of one chunk's calls share. */
export interface ChunkVoice {
  readonly lease: Lease;
  say(text: string): void;
}

const logger = new Logger('Task');

/**
 * The context of one call of a handler. The signal is made when it is first asked for: of a million tasks that never look
 * at theirs, none pays for an AbortController.
 */
class CallContext implements HandlerContext {
  #controller: AbortController | null = null;
  #aborted: Error | null = null;

  constructor(
    protected readonly voice: ChunkVoice,
    readonly transaction: TaskTransaction | null,
  ) {}

  get jobId(): string {
    return printJobId(this.voice.lease.jobId);
  }

  get accountId(): number {
    return this.voice.lease.accountId;
  }

  get attempt(): number {
    return this.voice.lease.attempt + 1;
  }

  get tx(): TaskTransaction {
    if (this.transaction) return this.transaction;
    throw new TypeError(
      `The handler of ${this.voice.lease.type} asks for tx: declare transaction: true in its @TaskHandler`,
    );
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  get log(): TaskLog {
    const about = { job: this.jobId, account: this.accountId, type: this.voice.lease.type };
    return {
      info: (msg) => logger.log({ ...about, msg }),
      warn: (msg) => logger.warn({ ...about, msg }),
      error: (msg) => logger.error({ ...about, msg }),
    };
  }

  /** A getter, so that a handler may take it out of its context: `run(task, { message })`. */
  get message(): (text: string) => void {
    return (text) => {
      this.voice.say(text);
    };
  }

  abort(reason: Error): void {
    this.#aborted ??= reason;
    this.#controller?.abort(reason);
  }
}

export class SingleContext extends CallContext implements TaskContext {
  constructor(
    voice: ChunkVoice,
    transaction: TaskTransaction | null,
    readonly index: number,
  ) {
    super(voice, transaction);
  }

  get key(): string {
    return `${this.jobId}:${this.index}`;
  }
}

export class ManyContext extends CallContext implements BatchContext {
  constructor(
    voice: ChunkVoice,
    transaction: TaskTransaction | null,
    readonly indexes: readonly number[],
  ) {
    super(voice, transaction);
  }

  get keys(): readonly string[] {
    const { jobId } = this;
    return this.indexes.map((index) => `${jobId}:${index}`);
  }
}
