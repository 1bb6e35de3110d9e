import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.js';
import type { Verdict } from './verdict.js';
import type { JobWatch, Known, Status } from './watched-job.js';

const RECONNECT_MS = 500;
/** A comment comes every 15 seconds: a stream that says nothing for longer is broken. */
const SILENCE_MS = 25_000;

/** A program that hears of a job by server-sent events, and comes back when its stream breaks, as an EventSource does. */
export class EventStream {
  #lastId: string | null = null;
  #end: Status | null = null;

  constructor(
    private readonly client: Client,
    private readonly watch: JobWatch,
    private readonly verdict: Verdict,
  ) {}

  /** Listens until the job has ended. @param isLate whether it must have by now */
  async follow(isLate: () => boolean): Promise<void> {
    const { id } = this.watch.job;
    while (!this.#hasEnded()) {
      if (isLate()) {
        this.verdict.violation('whoever listens hears the end', `job ${id}`);
        return;
      }
      const from = Date.now();
      const broken = await this.#listen().catch(String);
      if (this.#hasEnded() || (broken === 'gone' && this.watch.mayBeGone)) break;
      if (!this.client.isDisturbedSince(from))
        this.verdict.violation('a stream lasts until its job has ended', `job ${id}: ${broken}`);
      this.verdict.count('event streams broken');
      await sleep(RECONNECT_MS);
    }
    this.verdict.count('event streams to their end');
    while (this.watch.end === null && !isLate()) await sleep(RECONNECT_MS);
    if (this.#end && this.watch.end) this.watch.agree(this.#end, 'an event');
  }

  #hasEnded(): boolean {
    return this.#end !== null;
  }

  /** One connection. @returns how it ended */
  async #listen(): Promise<string> {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(new Error('it was silent')), SILENCE_MS);
    const { known } = this.watch;
    try {
      const response = await fetch(`${this.client.origin}/api/v2/jobs/${this.watch.job.id}/events`, {
        headers: {
          authorization: `Bearer ${this.client.token}`,
          ...(this.#lastId !== null && { 'last-event-id': this.#lastId }),
        },
        signal: silence.signal,
      });
      if (response.status !== 200 || response.body === null) {
        await response.body?.cancel();
        return response.status === 404 ? 'gone' : `answered ${response.status}`;
      }
      return await this.#read(response.body.pipeThrough(new TextDecoderStream()), known, () =>
        timer.refresh(),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(stream: ReadableStream<string>, known: Known, heard: () => void): Promise<string> {
    let rest = '';
    for await (const text of stream) {
      heard();
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) known = this.#take(block, known);
    }
    return 'it was closed';
  }

  /** @returns what is known from now on */
  #take(block: string, known: Known): Known {
    const fields = new Map(
      block.split('\n').map((line) => [line.split(':', 1)[0], line.replace(/^\w*: ?/, '')]),
    );
    const data = fields.get('data');
    if (fields.get('event') !== 'status' || data === undefined) return known;
    this.verdict.count('events');
    this.#lastId = fields.get('id') ?? null;
    const status = JSON.parse(data) as Status;
    if (this.#end) this.verdict.violation('nothing comes after the end', `job ${status.id}: ${data}`);
    this.watch.seeEntry(status, known, 'an event');
    if (status.status !== 'working') this.#end = status;
    return { ...known, progress: Math.max(known.progress, status.progress) };
  }
}
