import { setTimeout as sleep } from 'node:timers/promises';
import type { Outages } from './outages.js';
import type { Verdict } from './verdict.js';

const ANSWER_MS = 25_000;
/** Requests on connections that the old process had kept open fail a moment later than it died. */
const API_AFTERMATH_MS = 1_500;
const DATABASE_AFTERMATH_MS = 10_000;
const INSIST_MS = 120_000;

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly type?: string;
  readonly key?: string;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: unknown;
  /** Whether it was asked before, and nobody knows what came of that. */
  readonly isRepeated: boolean;
}

/** A customer's program: asks over HTTP, and holds each answer against what may be answered at all. */
export class Client {
  constructor(
    readonly origin: string,
    readonly token: string,
    private readonly verdict: Verdict,
    private readonly api: Outages,
    private readonly database: Outages,
  ) {}

  /** One request. @returns null when there was no answer, or none that says anything (503), and that is explained */
  async ask(request: Request): Promise<Answer | null> {
    const from = Date.now();
    const what = `${request.method} ${request.path.slice(0, 120)}`;
    try {
      const response = await fetch(this.origin + request.path, {
        method: request.method,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(request.body !== undefined && { 'content-type': request.type ?? 'application/json' }),
          ...(request.key !== undefined && { 'idempotency-key': request.key }),
        },
        ...(request.body !== undefined && { body: request.body }),
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      const text = await response.text();
      this.verdict.count(`answers ${response.status}`);
      return this.#judge(what, from, response, text);
    } catch (error) {
      this.verdict.count('requests without an answer');
      this.noAnswer(what, from, error);
      return null;
    }
  }

  /** Asks until there is an answer other than "not now": what a client whose connection broke does. */
  async insist(request: Request): Promise<Answer> {
    const from = Date.now();
    for (let times = 0; ; times += 1) {
      const answer = await this.ask(request);
      const isBusy = answer?.status === 409 && answer.text.includes('"RequestInProgress"');
      if (answer && !isBusy) {
        if (times > 0) this.verdict.count('requests repeated until they were answered');
        this.verdict.measure('until a request was answered', Date.now() - from);
        return { ...answer, isRepeated: times > 0 };
      }
      if (Date.now() - from > INSIST_MS) {
        const what = `${request.method} ${request.path}`;
        this.verdict.violation('whoever keeps asking is answered', what);
        throw new Error(`no answer to ${what}`);
      }
      await sleep(100 + Math.random() * 400);
    }
  }

  /** Whether something was away by our doing since then, so that a stream may have broken. */
  isDisturbedSince(from: number): boolean {
    const now = Date.now();
    return (
      this.api.touches(from, now, API_AFTERMATH_MS) || this.database.touches(from, now, DATABASE_AFTERMATH_MS)
    );
  }

  /** Whether a request that began at `from` may have got no answer; if not, that is a violation. */
  noAnswer(what: string, from: number, error: unknown): void {
    if (this.api.touches(from, Date.now(), API_AFTERMATH_MS)) return;
    const { message, cause } = error as Error;
    const why = `${message}${cause instanceof Error ? `: ${cause.message}` : ''}`;
    this.verdict.violation('a service that is up answers', `${what} after ${Date.now() - from} ms: ${why}`);
  }

  #judge(what: string, from: number, response: Response, text: string): Answer | null {
    const { status } = response;
    if (status === 204) return { status, text, json: null, isRepeated: false };
    const said = `${what}: ${status} ${text.slice(0, 300)}`;
    const json = parse(text);
    if (json === undefined || typeof json !== 'object' || json === null) {
      this.verdict.violation('every answer is JSON', said);
      return null;
    }
    if (status < 400) return { status, text, json, isRepeated: false };
    const { error, description } = json as { error?: unknown; description?: unknown };
    if (typeof error !== 'string' || typeof description !== 'string')
      this.verdict.violation('an error says its word and a sentence', said);
    if (status === 503) {
      if (!response.headers.has('retry-after')) this.verdict.violation('a 503 says when to ask again', said);
      if (!this.database.touches(from, Date.now(), DATABASE_AFTERMATH_MS))
        this.verdict.violation('a 503 comes only while the database is disturbed', said);
      return null;
    }
    if (status >= 500) {
      this.verdict.violation('there is no error of the service itself', said);
      return null;
    }
    return { status, text, json, isRepeated: false };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
