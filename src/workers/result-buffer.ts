import { joinArrays } from '../jobs/json-text.js';
import type { FailureRecord } from './outcome.js';
import type { RecordedResults } from './record.sql.js';

/** Results on their way to the database, in the form in which a record takes them. */
export class ResultBuffer {
  #positions: number[] = [];
  #texts: string[] = [];
  #failures: FailureRecord[] = [];
  #message: string | null = null;

  get count(): number {
    return this.#positions.length + this.#failures.length;
  }

  get isEmpty(): boolean {
    return this.count === 0 && this.#message === null;
  }

  /** @param text the result as JSON */
  addSuccess(position: number, text: string): void {
    this.#positions.push(position);
    this.#texts.push(text);
  }

  addFailure(failure: FailureRecord): void {
    this.#failures.push(failure);
  }

  setMessage(text: string): void {
    this.#message = text;
  }

  /** Takes over what the handler has said into another buffer. */
  takeMessageOf(other: ResultBuffer): void {
    this.#message = other.#message ?? this.#message;
    other.#message = null;
  }

  /** Takes everything out. @param attempts that the tasks of the chunk have had, this one included */
  take(attempts: number): RecordedResults {
    const taken: RecordedResults = {
      count: this.count,
      positions: this.#positions,
      results: `[${this.#texts.join(',')}]`,
      failures: JSON.stringify(this.#failures),
      attempts,
      message: this.#message,
    };
    this.clear();
    return taken;
  }

  clear(): void {
    this.#positions = [];
    this.#texts = [];
    this.#failures = [];
    this.#message = null;
  }
}

/** The results of several chunks whose tasks have had as many attempts, as one record. */
export function mergeResults(parts: readonly RecordedResults[]): RecordedResults {
  const [first] = parts as [RecordedResults];
  if (parts.length === 1) return first;
  return {
    count: parts.reduce((sum, { count }) => sum + count, 0),
    positions: parts.flatMap(({ positions }) => positions),
    results: joinArrays(parts.map(({ results }) => results)),
    failures: joinArrays(parts.map(({ failures }) => failures)),
    attempts: first.attempts,
    message: parts.reduce<string | null>((said, { message }) => message ?? said, null),
  };
}
