import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.js';
import { cutUpload } from './cut-upload.js';
import { EventStream } from './event-stream.js';
import type { Random } from './random.js';
import { Submissions, type Submission } from './submissions.js';
import { remove } from './removal.js';
import type { Verdict } from './verdict.js';
import { JobWatch, type Status, type WatchedJob } from './watched-job.js';

/** Jobs of a customer that work at once: enough to keep three workers busy, few enough to let a dead one's tasks begin again. */
const WORKING_JOBS = 4;
const KNOWN_TICKETS = 2_000;
/** Polls of an ended job, over some time: it must stay as it is. */
const LATE_POLLS = 3;

/** One account's program: submits, polls, listens, kills, pauses, retries and deletes, and checks every answer. */
export class Customer {
  /** All jobs that were accepted. */
  readonly watches: JobWatch[] = [];
  readonly #tickets: number[] = [];
  readonly #submissions: Submissions;
  readonly #errands = new Set<Promise<void>>();
  readonly #deadlineMs = { value: Infinity };

  constructor(
    readonly name: string,
    private readonly client: Client,
    private readonly random: Random,
    private readonly verdict: Verdict,
    callbackUrl: string,
  ) {
    this.#submissions = new Submissions(name, random, this.#tickets, callbackUrl);
  }

  /** Works until told to stop, and returns when nothing more is sent that changes anything; the polling goes on. */
  async work(stop: AbortSignal): Promise<void> {
    const lists = this.#list(stop);
    while (!stop.aborted) {
      const working = this.watches.filter((watch) => watch.end === null).length;
      if (working < WORKING_JOBS) await this.#submit(this.#submissions.next(), stop);
      await sleep(this.random.integer(50, 500));
    }
    await lists;
  }

  /** Waits until every accepted job has ended and been polled for the last time; @param byMs when that must be, at the latest */
  async finish(byMs: number): Promise<void> {
    this.#deadlineMs.value = byMs;
    while (this.#errands.size > 0) await Promise.all(this.#errands);
    for (const watch of this.watches) if (watch.end && !watch.isGone) await this.#poll(watch);
  }

  #spawn(errand: Promise<void>): void {
    const running = errand
      .catch((error: unknown) => this.verdict.violation('the harness itself is well', String(error)))
      .finally(() => this.#errands.delete(running));
    this.#errands.add(running);
  }

  async #submit(submission: Submission, stop: AbortSignal): Promise<void> {
    const { request } = submission;
    if (submission.isCut) {
      await cutUpload(this.client, request, this.random.next());
      this.verdict.count('uploads cut');
    }
    const answer = await this.client.insist(request);
    if (answer.status === 422 && submission.mayBeLate) return;
    if (answer.status !== 202 && answer.status !== 200) {
      const what = `${request.method} ${request.path.slice(0, 100)}: ${answer.status} ${answer.text.slice(0, 300)}`;
      this.verdict.violation('a good submission is accepted', what);
      return;
    }
    this.verdict.count(answer.status === 202 ? 'submissions accepted' : 'submissions found accepted already');
    this.verdict.count('tasks submitted', submission.total);
    const { id } = answer.json as Status;
    const watch = this.#watch({ ...submission, id });
    const fate = this.random.next();
    if (fate < 0.1) this.#spawn(this.#kill(watch));
    else if (fate < 0.2) this.#spawn(this.#pause(watch));
    if (this.random.chance(0.2)) this.#spawn(this.#listen(watch));
    const followed = this.#follow(watch, stop);
    const isRemoved = fate > 0.2 && isRemovable(watch) && this.random.chance(0.5);
    this.#spawn(isRemoved ? followed.then(() => this.#remove(watch, stop)) : followed);
  }

  #watch(job: WatchedJob): JobWatch {
    const watch = new JobWatch(job, this.verdict);
    this.watches.push(watch);
    return watch;
  }

  /** Polls to the end and a little beyond, then sees to what failed. */
  async #follow(watch: JobWatch, stop: AbortSignal): Promise<void> {
    while (watch.end === null) {
      if (Date.now() > this.#deadlineMs.value) {
        const { id, type, total } = watch.job;
        const what = `job ${id} (${type}): ${watch.known.progress} of ${total}`;
        this.verdict.violation('every accepted job comes to its end', what);
        return;
      }
      await this.#poll(watch);
      await sleep(this.random.integer(50, 400));
    }
    const { end } = watch;
    for (const { id, success } of end.results) {
      if (watch.job.type !== 'tickets.create' || !success || id === undefined) continue;
      if (this.#tickets.length < KNOWN_TICKETS) this.#tickets.push(id);
      else if (this.random.chance(0.1)) this.#tickets[this.random.integer(0, KNOWN_TICKETS - 1)] = id;
    }
    for (let poll = 0; poll < LATE_POLLS; poll += 1) {
      await sleep(this.random.integer(100, 2_000));
      await this.#poll(watch);
    }
    if (!stop.aborted && this.random.chance(0.5)) await this.#retry(watch, end, stop);
  }

  async #poll(watch: JobWatch): Promise<void> {
    const { known } = watch;
    const answer = await this.client.ask({ method: 'GET', path: watch.path });
    if (!answer) return;
    this.verdict.count('polls');
    if (answer.status === 200) watch.see(answer.text, known);
    else
      this.verdict.violation(
        'an accepted job is found',
        `${watch.path}: ${answer.status} ${answer.text.slice(0, 200)}`,
      );
  }

  async #listen(watch: JobWatch): Promise<void> {
    const stream = new EventStream(this.client, watch, this.verdict);
    await stream.follow(() => Date.now() > this.#deadlineMs.value);
  }

  async #remove(watch: JobWatch, stop: AbortSignal): Promise<void> {
    if (watch.end && !stop.aborted) await remove(this.client, watch, this.verdict);
  }

  /** The newest jobs as the list shows them. */
  async #list(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await sleep(this.random.integer(300, 1_500));
      const known = new Map(
        this.watches.map((watch) => [watch.job.id, { watch, known: watch.known, isGone: watch.isGone }]),
      );
      const answer = await this.client.ask({
        method: 'GET',
        path: '/api/v2/job_statuses.json?page%5Bsize%5D=100',
      });
      if (answer?.status !== 200) continue;
      this.verdict.count('lists');
      for (const entry of (answer.json as { job_statuses: Status[] }).job_statuses) {
        const job = known.get(entry.id);
        if (job?.isGone) this.verdict.violation('a deleted job is gone', `${entry.id} is in the list`);
        else job?.watch.seeEntry(entry, job.known, 'a list');
      }
    }
  }

  async #kill(watch: JobWatch): Promise<void> {
    await sleep(this.random.integer(0, 2_000));
    watch.mayEnd('killed');
    const { status, text } = await this.#control(watch, 'kill');
    if (status !== 200 && !text.includes('"JobFinished"'))
      this.verdict.violation('a working job can be killed', `${watch.job.id}: ${status} ${text}`);
  }

  async #pause(watch: JobWatch): Promise<void> {
    await sleep(this.random.integer(0, 500));
    for (const what of ['pause', 'resume'] as const) {
      const { status, text } = await this.#control(watch, what);
      if (status !== 200 && !text.includes('"JobFinished"'))
        this.verdict.violation(
          'a working job can be paused and resumed',
          `${watch.job.id}: ${status} ${text}`,
        );
      if (what === 'pause') await sleep(this.random.integer(200, 2_000));
    }
  }

  async #retry(watch: JobWatch, end: Status, stop: AbortSignal): Promise<void> {
    const { status, json, text } = await this.#control(watch, 'retry');
    if (status === 409 && text.includes('"NothingToRetry"')) {
      if (end.status !== 'completed')
        this.verdict.violation('what did not succeed can be retried', `${watch.job.id}: ${text}`);
      return;
    }
    if (status !== 202) {
      this.verdict.violation('an ended job can be retried', `${watch.job.id}: ${status} ${text}`);
      return;
    }
    const { id, total } = json as { id: string; total: number };
    if (end.progress <= 1_000) {
      const left = end.total - end.results.filter((result) => result.success).length;
      if (left !== total)
        this.verdict.violation(
          'a retry has every task that did not succeed',
          `${watch.job.id}: ${total}, not ${left}`,
        );
    }
    // What a job may not do again: of too many failures none is repaired by a retry, and its bound goes along.
    const ends = new Set([...watch.job.ends, 'completed', 'failed']);
    const { type, hasCallback } = watch.job;
    await this.#follow(this.#watch({ id, type, total, ends, hasCallback }), stop);
  }

  async #control(watch: JobWatch, what: 'kill' | 'pause' | 'resume' | 'retry') {
    const answer = await this.client.insist({
      method: 'POST',
      path: `/api/v2/jobs/${watch.job.id}/${what}.json`,
    });
    this.verdict.count(`jobs asked to ${what}`);
    return answer;
  }
}

/** The results of tickets' jobs are held against the tickets at the end; what is told once cannot be told of a job that is gone. */
const isRemovable = ({ job }: JobWatch): boolean => job.type.startsWith('demo.') && !job.hasCallback;
