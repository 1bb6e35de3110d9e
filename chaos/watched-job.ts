import type { Verdict } from './verdict.js';

export const RESULTS_INLINE_MAX = 1_000;

export interface Status {
  readonly id: string;
  readonly url: string;
  readonly total: number;
  readonly progress: number;
  readonly status: string;
  readonly message: string | null;
  readonly results: readonly Result[];
}

export interface Result {
  readonly id?: number;
  readonly title?: string;
  readonly success: boolean;
}

const KEYS = 'id,url,total,progress,status,message,results';
const STATES = ['working', 'completed', 'failed', 'killed'];

/** What was known of a job when a request was sent: no answer to it may be older. */
export interface Known {
  readonly progress: number;
  readonly ended: string | null;
}

export interface WatchedJob {
  readonly id: string;
  readonly type: string;
  readonly total: number;
  /** How it may end. */
  readonly ends: ReadonlySet<string>;
  /** Of tickets.create, the titles in the order of the tasks. */
  readonly titles?: readonly string[];
  /** Whether its end is to be told. */
  readonly hasCallback: boolean;
}

/** One job as its client sees it, and what each answer about it must hold to. */
export class JobWatch {
  #progress = 0;
  /** The whole body of the ended job, as it was first seen. */
  #ended: string | null = null;
  #end: Status | null = null;
  /** Somebody is about to delete it: it may be gone. */
  mayBeGone = false;
  /** Its deletion was answered. */
  isGone = false;
  /** The end without the results. */
  #endedEntry: string | null = null;
  #mayEnd: Set<string>;

  constructor(
    readonly job: WatchedJob,
    private readonly verdict: Verdict,
  ) {
    this.#mayEnd = new Set(job.ends);
  }

  get path(): string {
    return `/api/v2/job_statuses/${this.job.id}.json`;
  }

  get end(): Status | null {
    return this.#end;
  }

  get known(): Known {
    return { progress: this.#progress, ended: this.#ended };
  }

  /** From now on it may also end like this: somebody is about to kill it. */
  mayEnd(how: string): void {
    this.#mayEnd.add(how);
  }

  /** The body of an answer that is this job's status alone. @param known as it was when the request was sent */
  see(text: string, known: Known): void {
    const status = JSON.parse(text) as Status;
    const what = `job ${this.job.id} (${this.job.type}): `;
    if (Object.keys(status).join() !== KEYS)
      this.verdict.violation('a status has the seven keys', what + Object.keys(status).join());
    const fits = Math.min(status.progress, RESULTS_INLINE_MAX);
    if (status.results.length !== fits)
      this.verdict.violation(
        'results and progress are of one moment',
        `${what}${status.results.length} results at progress ${status.progress}`,
      );
    this.#progresses(status, known, what);
    if (known.ended !== null && text !== known.ended)
      this.verdict.violation('an ended job never changes', `${what}${text.slice(0, 300)} after its end`);
    if (status.status !== 'working' && this.#ended === null) this.#ends(status, text, what);
  }

  /** The job as an entry of a list or as an event, which carry no results. */
  seeEntry(entry: Status, known: Known, where: 'a list' | 'an event'): void {
    const what = `job ${this.job.id} in ${where}: `;
    if (entry.results.length > 0) this.verdict.violation(`${where} carries no results`, what);
    this.#progresses(entry, known, what);
    if (known.ended !== null) this.agree(entry, where);
  }

  /** Once its end is known: what somewhere else was said of it. */
  agree(entry: Status, where: 'a list' | 'an event' | 'a callback'): void {
    this.#endedEntry ??= JSON.stringify({ ...this.#end, results: [] });
    const text = JSON.stringify(entry);
    if (text !== this.#endedEntry)
      this.verdict.violation(
        `${where} agrees with the job`,
        `${text}, and job ${this.job.id} ${this.#endedEntry}`,
      );
  }

  #progresses(status: Status, known: Known, what: string): void {
    if (status.total !== this.job.total)
      this.verdict.violation('a total stays', `${what}${status.total} instead of ${this.job.total}`);
    if (status.progress < known.progress)
      this.verdict.violation('progress never falls', `${what}${status.progress} after ${known.progress}`);
    if (status.progress > status.total)
      this.verdict.violation(
        'progress never exceeds the total',
        `${what}${status.progress} of ${status.total}`,
      );
    if (!STATES.includes(status.status))
      this.verdict.violation('a status is one of four', what + status.status);
    if (status.status === 'completed' && status.progress !== status.total)
      this.verdict.violation('completed means every task', `${what}${status.progress} of ${status.total}`);
    if (known.ended !== null && status.status === 'working')
      this.verdict.violation('an ended job never works again', what);
    this.#progress = Math.max(this.#progress, status.progress);
  }

  #ends(status: Status, text: string, what: string): void {
    this.#ended = text;
    this.#end = status;
    this.verdict.count(`jobs ${status.status}`);
    this.verdict.count('tasks processed', status.progress);
    if (!this.#mayEnd.has(status.status))
      this.verdict.violation(
        'a job ends as expected',
        `${what}${status.status}, ${String(status.message)}, not one of ${[...this.#mayEnd].join()}`,
      );
    if (!status.message)
      this.verdict.violation('an ended job has a message', `${what}${String(status.message)}`);
    const { titles } = this.job;
    if (!titles || status.status !== 'completed') return;
    const wrong = status.results.findIndex((result, at) => result.title !== titles[at]);
    if (wrong >= 0)
      this.verdict.violation('results are in the order of the tasks', `${what}position ${wrong}`);
  }
}
