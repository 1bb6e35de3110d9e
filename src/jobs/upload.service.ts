import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { CONFIG, type Config } from '../config/config.js';
import { PoolShares } from '../database/pool-shares.js';
import type { StreamedBody } from '../http/streamed-body.js';
import type { SubmissionKey } from './idempotency.service.js';
import { joinChunks, type CutChunk } from './chunk-cutter.js';
import { newJobId } from './job.js';
import { newStatus, type StatusRow } from './job.store.js';
import { whileKept } from './lease-keeper.js';
import { readHead } from './read-task.js';
import { addJob, leaseLost, tooManyJobs } from './submission-refused.js';
import type { NewJob } from './submission.sql.js';
import { Submissions } from './submissions.js';
import { TaskTypes } from './task-types.js';
import { headOfQuery } from './upload.schemas.js';
import { UploadReader } from './upload-reader.js';
import { UploadStore, type UploadedJob } from './upload.store.js';

/**
 * Chunks and bytes of a write, at most. A stream that has no more is added as a submission in one piece is: a thousand lines took
 * three commits otherwise, and a second change of each chunk. While one is under way, the next is read. With 256 KiB 300,000 lines of 90 bytes came
 * in at 155,000 a second, with 1 MiB at 97,000 and with 67 MB more memory (a run each, on two busy cores).
 */
const WRITE_CHUNKS = 64;
const WRITE_BYTES = 256 * 1024;

type Settings = Pick<
  Config,
  'MAX_TASKS_PER_JOB' | 'MAX_TASK_BYTES' | 'MAX_WORKING_JOBS' | 'LEASE_SECONDS' | 'CALLBACK_SECRET'
>;

/**
 * Takes jobs in whose tasks are streamed, a line each, in constant memory: read, checked and written chunk by chunk, and a job
 * when the last line is in.
 */
@Injectable()
export class UploadService implements OnApplicationBootstrap {
  readonly #leaseMs: number;
  readonly #log = new Logger('Uploads');

  constructor(
    private readonly store: UploadStore,
    private readonly submissions: Submissions,
    private readonly types: TaskTypes,
    private readonly shares: PoolShares,
    @Inject(CONFIG) private readonly settings: Settings,
  ) {
    this.#leaseMs = settings.LEASE_SECONDS * 1_000;
  }

  /** What a process before this one left, if its lease has run out. The workers sweep as well; there may be none. */
  onApplicationBootstrap(): void {
    const sweep = async () => {
      while (await this.store.removeExpired());
    };
    sweep().catch((error: unknown) =>
      this.#log.error({ err: error, msg: 'broken uploads could not be removed' }),
    );
  }

  /**
   * @param query type and options, as text
   * @param key of the request, which commits with the job
   * @param origin where the request reached the service, for the job's callback
   * @returns the new job's status
   * @throws DomainError as SubmissionService.submit; InvalidJSON; PayloadTooLarge; Unavailable: the lease has run out. Nothing
   *   is left behind
   */
  async submit(
    caller: Principal,
    query: unknown,
    body: StreamedBody,
    key: SubmissionKey | null,
    origin: string,
  ): Promise<StatusRow> {
    const { type, options } = readHead(this.types, headOfQuery(query), this.settings);
    const maxWorkingJobs = this.settings.MAX_WORKING_JOBS;
    const { accountId, userId: createdBy } = caller;
    const upload = { id: newJobId(), accountId, type: type.type, priority: options.priority };
    const reader = new UploadReader(type, this.settings);
    const pieces = body.bytes();
    const jobRead = async (): Promise<NewJob> => {
      const { total, ordered } = reader;
      const held = key && (await key.held());
      return { ...upload, createdBy, options, origin, total, ordered, maxWorkingJobs, key: held };
    };
    try {
      const { chunks, isAll } = await readSome(reader, pieces);
      const begun = joinChunks(chunks, reader.total);
      if (!isAll)
        return newStatus(
          await this.#stream(upload, maxWorkingJobs, jobRead, () =>
            this.#write(upload, reader, begun, pieces),
          ),
        );
      const job = await jobRead();
      await addJob(options, maxWorkingJobs, () => this.submissions.add({ ...job, chunks: begun }));
      return newStatus(job);
    } finally {
      // Whoever leaves early leaves the rest of the body to be thrown away.
      await pieces.return(undefined);
    }
  }

  /**
   * @param jobRead the job, once all of it is read
   * @param write writes its chunks, and says how many they were
   */
  async #stream(
    upload: UploadedJob,
    maxWorkingJobs: number,
    jobRead: () => Promise<NewJob>,
    write: () => Promise<number>,
  ): Promise<NewJob> {
    const open = () => this.store.open(upload, maxWorkingJobs, this.#leaseMs);
    const working = await this.shares.submissions.run(open);
    if (working) throw tooManyJobs(working, maxWorkingJobs);
    try {
      const renew = () => this.store.renew(upload.id, this.#leaseMs);
      const chunks = await whileKept(this.#leaseMs, renew, write);
      const job = await jobRead();
      await addJob(job.options, maxWorkingJobs, () =>
        this.shares.submissions.run(() => this.store.seal(job, chunks)),
      );
      return job;
    } catch (error) {
      await this.#abandon(upload.id);
      throw error;
    }
  }

  /**
   * @param begun what has been read already
   * @returns how many chunks were written
   */
  async #write(
    upload: UploadedJob,
    reader: UploadReader,
    begun: readonly CutChunk[],
    pieces: AsyncIterable<Buffer>,
  ): Promise<number> {
    let written = 0;
    let waiting = [...begun];
    let writing: Promise<void> = Promise.resolve();
    const write = async (): Promise<void> => {
      await writing;
      const chunks = waiting;
      waiting = [];
      if (chunks.length === 0) return;
      written += chunks.length;
      writing = this.#append(upload, chunks).then(() => reader.giveBack(chunks));
      // Whoever awaits it next hears of a failure; until then it must not count as unhandled.
      writing.catch(() => undefined);
    };
    try {
      await write();
      for await (const bytes of pieces) {
        waiting.push(...reader.push(bytes));
        if (isEnough(waiting)) await write();
      }
      waiting.push(...reader.end());
      await write();
    } finally {
      // Also when the upload is refused: what is under way would otherwise be written after all has been removed.
      await writing;
    }
    return written;
  }

  async #append(upload: UploadedJob, chunks: readonly CutChunk[]): Promise<void> {
    const append = () => this.store.append(upload, chunks, this.#leaseMs);
    if (!(await this.shares.uploads.run(append))) throw leaseLost();
  }

  async #abandon(id: string): Promise<void> {
    try {
      await this.store.abandon(id);
    } catch (error) {
      this.#log.warn({ err: error, msg: 'a broken upload is left to the sweep' });
    }
  }
}

/** Reads until there is enough for a write, or all has been read. */
async function readSome(
  reader: UploadReader,
  pieces: AsyncIterator<Buffer>,
): Promise<{ readonly chunks: CutChunk[]; readonly isAll: boolean }> {
  const chunks: CutChunk[] = [];
  for (;;) {
    const piece = await pieces.next();
    chunks.push(...(piece.done ? reader.end() : reader.push(piece.value)));
    if (piece.done || isEnough(chunks)) return { chunks, isAll: piece.done === true };
  }
}

const isEnough = (chunks: readonly CutChunk[]): boolean =>
  chunks.length >= WRITE_CHUNKS ||
  chunks.reduce((bytes, chunk) => bytes + chunk.tasks.length, 0) >= WRITE_BYTES;
