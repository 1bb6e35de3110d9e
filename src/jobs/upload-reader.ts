import { DomainError, invalid, type FieldError } from '../errors.js';
import { parseJson } from '../http/json-body.js';
import { ChunkCutter, type CutChunk } from './chunk-cutter.js';
import { LineSplitter, LineTooLong } from './line-splitter.js';
import { NAMED_TASKS_MAX, readTask } from './read-task.js';
import { RepeatFinder } from './repeat-finder.js';
import { tooManyTasks } from './submission-refused.js';
import type { TaskType } from './task-types.js';

export interface UploadLimits {
  readonly MAX_TASKS_PER_JOB: number;
  readonly MAX_TASK_BYTES: number;
}

/**
 * Makes chunks of tasks out of the bytes of a streamed submission, a task a line. Lines without anything but blanks are
 * skipped, wherever they stand. After a task that its type's schema refuses it makes no more chunks, but reads on, to name
 * the others; anything worse is thrown at once.
 */
export class UploadReader {
  readonly #lines: LineSplitter;
  readonly #cutter = new ChunkCutter();
  readonly #repeats = new RepeatFinder();
  readonly #bad: FieldError[][] = [];
  /** Position of the next task. */
  #position = 0;

  constructor(
    private readonly type: TaskType,
    private readonly limits: UploadLimits,
  ) {
    this.#lines = new LineSplitter(limits.MAX_TASK_BYTES);
  }

  /** Tasks that are in chunks. */
  get total(): number {
    return this.#cutter.total;
  }

  /** Whether two of the tasks concern the same thing. */
  get ordered(): boolean {
    return this.#repeats.hasRepeat;
  }

  /**
   * @returns the chunks that are full
   * @throws DomainError InvalidJSON, RecordInvalid, TooManyValues: each says which line
   */
  push(bytes: Buffer): CutChunk[] {
    return this.#naming(() => {
      const full: CutChunk[] = [];
      for (const line of this.#lines.push(bytes)) {
        const chunk = this.#read(line);
        if (chunk) full.push(chunk);
      }
      return full;
    });
  }

  /**
   * @returns the last chunks
   * @throws DomainError as `push`; RecordInvalid that names every bad task, up to 100, or says that there was no task
   */
  end(): CutChunk[] {
    const last = this.#naming(() => this.#read(this.#lines.end()));
    this.#refuseBad();
    if (this.#position === 0)
      throw invalid([{ field: 'tasks', description: 'expected one task or more, a line each' }]);
    return [last, this.#cutter.rest()].filter((chunk) => chunk !== null);
  }

  /** Takes the bytes of chunks for others: they have been written. */
  giveBack(chunks: readonly CutChunk[]): void {
    for (const chunk of chunks) this.#cutter.giveBack(chunk);
  }

  #read(line: Buffer): CutChunk | null {
    if (isBlank(line)) return null;
    const position = this.#position;
    const { number } = this.#lines;
    if (position >= this.limits.MAX_TASKS_PER_JOB)
      throw tooManyTasks(this.limits.MAX_TASKS_PER_JOB, `, and line ${number} is one more`);
    this.#position += 1;
    const read = readTask(parseLine(line, number), this.type, position, this.limits.MAX_TASK_BYTES);
    if (Array.isArray(read)) {
      this.#bad.push(
        read.map((error) => ({ ...error, description: `line ${number}: ${error.description}` })),
      );
      if (this.#bad.length >= NAMED_TASKS_MAX) this.#refuseBad();
      return null;
    }
    if (this.#bad.length > 0) return null;
    if (this.type.orderBy) this.#repeats.add(this.type.orderBy(read.input as never));
    return this.#cutter.add(read.text, read.bytes);
  }

  #refuseBad(): void {
    if (this.#bad.length > 0) throw invalid(this.#bad.flat());
  }

  #naming<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof LineTooLong)) throw error;
      const position = this.#position;
      const description = `line ${error.line}: expected at most ${this.limits.MAX_TASK_BYTES} bytes`;
      throw invalid([...this.#bad.flat(), { field: `tasks.${position}`, description, position }]);
    }
  }
}

function parseLine(line: Buffer, number: number): unknown {
  try {
    return parseJson(line, 'the line');
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    throw new DomainError(error.word, `Line ${number}: ${error.message}`, error.data);
  }
}

const [SPACE, TAB, CARRIAGE_RETURN] = [0x20, 0x09, 0x0d];
const isBlank = (line: Buffer): boolean =>
  line.every((byte) => byte === SPACE || byte === TAB || byte === CARRIAGE_RETURN);
