import { MAX_CHUNK_BYTES, MAX_CHUNK_TASKS, MIN_CHUNK_TASKS, type PlannedChunk } from './job.js';

/** A chunk has at most this part of the tasks before it, so that no chunk is a large part of the job. */
const PART = 50;

/**
 * Cuts tasks into chunks as they come, without knowing how many there will be: the chunks begin small and grow with what has
 * been read. 10,000 tasks become about 200 chunks, a million 1,250 (`planChunks`, which knows the total: 100 and 1,000).
 */
export class ChunkCutter {
  /** Tasks so far. */
  total = 0;
  #texts: string[] = [];
  #bytes = 0;

  /**
   * @param text a task as JSON
   * @param bytes its length in UTF-8
   * @returns the chunk that is full without it, if there is one
   */
  add(text: string, bytes: number): PlannedChunk | null {
    const isFull = this.#texts.length >= this.#size || this.#bytes + bytes + 1 > MAX_CHUNK_BYTES;
    const full = isFull ? this.rest() : null;
    this.#texts.push(text);
    this.#bytes += bytes + 1;
    this.total += 1;
    return full;
  }

  /** The chunk that is not full; null when it is empty. */
  rest(): PlannedChunk | null {
    const size = this.#texts.length;
    if (size === 0) return null;
    const chunk = { firstPosition: this.total - size, size, tasks: `[${this.#texts.join(',')}]` };
    this.#texts = [];
    this.#bytes = 0;
    return chunk;
  }

  get #size(): number {
    const before = this.total - this.#texts.length;
    return Math.min(MAX_CHUNK_TASKS, Math.max(MIN_CHUNK_TASKS, Math.ceil(before / PART)));
  }
}
