import { chunkSize, MAX_CHUNK_BYTES, MAX_CHUNK_TASKS, MIN_CHUNK_TASKS } from './job.js';

/** A chunk has at most this part of the tasks before it, so that no chunk is a large part of the job. */
const PART = 10;

/** Room of a chunk, at least. */
const FEWEST_BYTES = 1_024;
/** A chunk gets room for tasks this much longer than those before it. */
const SLACK = 1.25;

const [COMMA, OPEN_ARRAY, CLOSE_ARRAY] = [0x2c, 0x5b, 0x5d];

/** A run of tasks at consecutive positions, as `PlannedChunk`, but in bytes. */
export interface CutChunk {
  readonly firstPosition: number;
  readonly size: number;
  /** A JSON array in UTF-8, a task a position; until the chunk is given back. */
  readonly tasks: Buffer;
}

/**
 * Cuts tasks into chunks as they come, without knowing how many there will be: the chunks begin small and grow with what has
 * been read. 10,000 tasks become 60 chunks, a million 1,050 (`planChunks`, which knows the total: 100 and 1,000). With a fiftieth instead of a
 * tenth a thousand tasks were 85 chunks, now 34, and each costs a claim and an end.
 *
 * A task is written down as bytes at once: a thousand texts that wait for their chunk would outlive V8's young generation. So
 * do the bytes, of which V8 lets 64 MB gather before it collects; hence they are used again.
 */
export class ChunkCutter {
  /** Tasks so far. */
  total = 0;
  /** Bytes of the chunks that are full. */
  #written = 0;
  #bytes: Buffer = Buffer.allocUnsafeSlow(FEWEST_BYTES);
  readonly #free: Buffer[] = [];
  /** Of them, those that are written. */
  #length = 0;
  /** Tasks in them. */
  #size = 0;

  /**
   * @param text a task as JSON
   * @param bytes its length in UTF-8
   * @returns the chunk that is full without it, if there is one
   */
  add(text: string, bytes: number): CutChunk | null {
    const isFull = this.#size >= this.#sizeMax || this.#length + bytes + 1 > MAX_CHUNK_BYTES;
    const full = isFull ? this.rest() : null;
    this.#makeRoom(bytes + 2);
    this.#bytes[this.#length] = this.#size === 0 ? OPEN_ARRAY : COMMA;
    this.#bytes.write(text, this.#length + 1);
    this.#length += bytes + 1;
    this.#size += 1;
    this.total += 1;
    return full;
  }

  /** The chunk that is not full; null when it is empty. */
  rest(): CutChunk | null {
    const size = this.#size;
    if (size === 0) return null;
    this.#bytes[this.#length] = CLOSE_ARRAY;
    const tasks = this.#bytes.subarray(0, this.#length + 1);
    this.#written += this.#length;
    this.#length = 0;
    this.#size = 0;
    this.#bytes = this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#room);
    return { firstPosition: this.total - size, size, tasks };
  }

  /** Takes the bytes of a chunk for another one: it has been written. */
  giveBack({ tasks }: CutChunk): void {
    this.#free.push(Buffer.from(tasks.buffer));
  }

  /**
   * Bytes that a chunk will need, as far as can be told. With 16 KiB for each of the 34 chunks of a thousand short tasks
   * V8 collected twice as often as for what they had in them.
   */
  get #room(): number {
    const expected = Math.ceil((this.#written / Math.max(1, this.total)) * this.#sizeMax * SLACK);
    return Math.min(MAX_CHUNK_BYTES, Math.max(FEWEST_BYTES, expected));
  }

  get #sizeMax(): number {
    const before = this.total - this.#size;
    return Math.min(MAX_CHUNK_TASKS, Math.max(MIN_CHUNK_TASKS, Math.ceil(before / PART)));
  }

  /** Makes room for so many bytes more. */
  #makeRoom(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length, this.#room));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/**
 * The same tasks in fewer chunks, as those of a job of so many: what was cut before anyone knew how many there are.
 * @param chunks one behind the other; their bytes are not used any more
 */
export function joinChunks(chunks: readonly CutChunk[], total: number): CutChunk[] {
  const size = chunkSize(total);
  const joined: CutChunk[] = [];
  let some: CutChunk[] = [];
  let [tasks, bytes] = [0, 0];
  for (const chunk of chunks) {
    const isOver = tasks + chunk.size > size || bytes + chunk.tasks.length > MAX_CHUNK_BYTES;
    if (some.length > 0 && isOver) {
      joined.push(joinedOf(some, tasks, bytes));
      some = [];
      [tasks, bytes] = [0, 0];
    }
    some.push(chunk);
    tasks += chunk.size;
    bytes += chunk.tasks.length;
  }
  if (some.length > 0) joined.push(joinedOf(some, tasks, bytes));
  return joined;
}

/** @param bytes of all of them */
function joinedOf(chunks: readonly CutChunk[], size: number, bytes: number): CutChunk {
  const [first] = chunks as [CutChunk];
  if (chunks.length === 1) return first;
  // Between two of them a comma stands for two brackets.
  const tasks = Buffer.allocUnsafeSlow(bytes - (chunks.length - 1));
  let length = 0;
  for (const chunk of chunks) {
    if (length > 0) tasks[length - 1] = COMMA;
    length += chunk.tasks.copy(tasks, length, length > 0 ? 1 : 0);
  }
  return { firstPosition: first.firstPosition, size, tasks };
}
