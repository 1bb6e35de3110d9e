const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** A line is longer than the limit; its rest was not read. */
export class LineTooLong extends Error {
  /** @param line its number, from 1 */
  constructor(readonly line: number) {
    super(`line ${line} is too long`);
    this.name = 'LineTooLong';
  }
}

/** Cuts bytes into lines, keeping no more than one unfinished line. A line ends with LF or CRLF, the last one perhaps with neither. */
export class LineSplitter {
  /** Number of the line that was handed out last, from 1. */
  number = 0;
  #rest: Buffer[] = [];
  #restBytes = 0;

  /** @param maxBytes of a line, without its end */
  constructor(private readonly maxBytes: number) {}

  /** @throws LineTooLong */
  *push(bytes: Buffer): Generator<Buffer> {
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      this.#keep(bytes.subarray(from, at));
      from = at + 1;
      yield this.#take();
    }
    // A copy: what is left must not keep the whole piece alive.
    if (from < bytes.length) this.#keep(Buffer.from(bytes.subarray(from)));
  }

  /** What stands after the last LF; an empty line when nothing does. @throws LineTooLong */
  end(): Buffer {
    return this.#take();
  }

  #keep(part: Buffer): void {
    this.#restBytes += part.length;
    // One more than the limit may be the CR of its end.
    if (this.#restBytes > this.maxBytes + 1) throw new LineTooLong(this.number + 1);
    this.#rest.push(part);
  }

  #take(): Buffer {
    const [only, ...others] = this.#rest;
    const whole = only === undefined ? EMPTY : others.length === 0 ? only : Buffer.concat(this.#rest);
    this.#rest = [];
    this.#restBytes = 0;
    this.number += 1;
    const line = whole.at(-1) === CARRIAGE_RETURN ? whole.subarray(0, -1) : whole;
    if (line.length > this.maxBytes) throw new LineTooLong(this.number);
    return line;
  }
}

const EMPTY = Buffer.alloc(0);
