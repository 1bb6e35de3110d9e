/** What the service says of one field of a refused request. */
export interface FieldProblem {
  /** What was expected of it. */
  readonly description: string;
  /** Position of the task in the job, from 0, when a task is meant. */
  readonly position?: number;
}

interface ErrorBody {
  readonly error: string;
  readonly description: string;
  readonly details?: Readonly<Record<string, readonly FieldProblem[]>>;
}

/** Words that this client itself uses, where the service has said none. */
export type ClientErrorWord = 'Unreachable' | 'UnexpectedAnswer';

/** A request that was refused, could not be served, or got no answer at all. */
export class TallyError extends Error {
  override readonly name = 'TallyError';

  private constructor(
    /** The HTTP status; 0 when there was no answer, or only a part of one. */
    readonly status: number,
    private readonly body: ErrorBody,
    /** Seconds to wait before another try, where the service says so (`Retry-After`); else null. */
    readonly retryAfterSeconds: number | null,
    cause?: unknown,
  ) {
    super(body.description, { cause });
  }

  /** A CamelCase word that stays the same, such as `RecordInvalid`; `Unreachable` and `UnexpectedAnswer` are the client's own. */
  get error(): string {
    return this.body.error;
  }

  /** A sentence for people. */
  get description(): string {
    return this.body.description;
  }

  /** By field, as the client wrote it: what was expected of it. Empty when no field is meant. */
  get details(): Readonly<Record<string, readonly FieldProblem[]>> {
    return this.body.details ?? {};
  }

  /** Further members of the answer, such as `max_count` or `current_job_ids`. */
  get extra(): Readonly<Record<string, unknown>> {
    const known = new Set(['error', 'description', 'details']);
    return Object.fromEntries(Object.entries(this.body).filter(([name]) => !known.has(name)));
  }

  /** Whether the same request may well succeed later: no answer, 408, 429, or the service's own trouble (5xx). */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** Reads the body of an answer that is no success. */
  static async of(response: Response): Promise<TallyError> {
    const text = await response.text().catch(() => '');
    const body = errorBody(text) ?? {
      error: 'UnexpectedAnswer',
      description:
        `Expected an answer of Tally, got: HTTP ${response.status} ${response.statusText}`.trimEnd(),
    };
    return new TallyError(response.status, body, retryAfterSeconds(response.headers.get('retry-after')));
  }

  /** @param cause what fetch has thrown, or the reading of the body */
  static unreachable(cause: unknown): TallyError {
    const description = `No answer from the service: ${reasonOf(cause)}`;
    return new TallyError(0, { error: 'Unreachable', description }, null, cause);
  }
}

function errorBody(text: string): ErrorBody | null {
  try {
    const body = JSON.parse(text) as Partial<ErrorBody> | null;
    const isError = typeof body?.error === 'string' && typeof body.description === 'string';
    return isError ? (body as ErrorBody) : null;
  } catch {
    return null;
  }
}

/** @param header seconds, or a date as HTTP has it */
function retryAfterSeconds(header: string | null): number | null {
  if (header === null) return null;
  if (/^\d{1,9}$/.test(header)) return Number(header);
  const until = Date.parse(header);
  return Number.isNaN(until) ? null : Math.max(0, (until - Date.now()) / 1_000);
}

/** Node's fetch says no more than `fetch failed`; why is in the cause, and in the first of several where a name has several addresses. */
function reasonOf(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown);
  const { errors, cause, message } = thrown as { errors?: unknown; cause?: unknown; message?: unknown };
  if (Array.isArray(errors) && errors.length > 0) return reasonOf(errors[0]);
  return typeof cause === 'object' && cause !== null ? reasonOf(cause) : String(message);
}
