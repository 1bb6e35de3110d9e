import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { dirname } from 'node:path';
import { isDatabaseAway } from '../src/sql-errors.js';
import type { Outages } from './outages.js';
import type { Verdict } from './verdict.js';

/** Pino's number for `error`. */
const ERROR = 50;
/** A pool finds out about a cut connection when it uses it next. */
const AFTERMATH_MS = 15_000;
const KEPT_LINES = 40;

interface Line {
  readonly level?: unknown;
  readonly msg?: unknown;
  readonly err?: unknown;
}

/** What all processes have logged: how many lines, and the errors that our disturbances of the database do not explain. */
export class Logs {
  readonly #unexplained = new Map<string, { line: string; times: number }>();

  readonly #file: WriteStream;

  /** @param file where all lines go, for whoever looks into a violation */
  constructor(
    file: string,
    private readonly verdict: Verdict,
    private readonly database: Outages,
  ) {
    mkdirSync(dirname(file), { recursive: true });
    this.#file = createWriteStream(file);
  }

  /** @param text a line as the process wrote it; @returns its message, where it is one of the service's own */
  take(process: string, text: string): string | null {
    const line = parse(text);
    this.#file.write(`${this.verdict.clock()} ${process} ${text}\n`);
    this.verdict.count('log lines');
    // What is for people to read: the first admin.
    if (line === null) return null;
    const message = typeof line.msg === 'string' ? line.msg : '';
    if (typeof line.level === 'number' && line.level >= ERROR) {
      this.verdict.count('log lines of level error');
      if (!this.#isExplained(line, message)) this.#keep(process, text);
    }
    return message;
  }

  /** Standard error: what Node itself says of a process that falls over. */
  takeError(process: string, text: string): void {
    this.#file.write(`${this.verdict.clock()} ${process} ${text}\n`);
    this.#keep(process, text);
  }

  summary(): string {
    const kept = [...this.#unexplained.values()];
    const lines = kept.slice(0, KEPT_LINES).map(({ line, times }) => `  ${times} x, first ${line}`);
    return [`Errors in the logs that no disturbance explains: ${kept.length}`, ...lines].join('\n');
  }

  #isExplained(line: Line, message: string): boolean {
    const now = Date.now();
    if (!this.database.touches(now, now, AFTERMATH_MS)) return false;
    return message.includes('the database is away') || isDatabaseAway(line.err) || isDatabaseAway(line);
  }

  #keep(process: string, text: string): void {
    const kind = text.replace(/[0-9a-f-]{32,36}|\d+/g, '#').slice(0, 300);
    const known = this.#unexplained.get(kind);
    if (known) known.times += 1;
    else
      this.#unexplained.set(kind, {
        line: `${this.verdict.clock()} ${process}: ${text.slice(0, 1_500)}`,
        times: 1,
      });
  }
}

function parse(text: string): Line | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
