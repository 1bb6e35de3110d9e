import { channel, subscribe, unsubscribe, type Channel } from 'node:diagnostics_channel';

/**
 * What happens in the process and is worth counting, told to whoever listens: src/metrics does, and nobody imports that. With no
 * listener a telling costs the look at one property. Told once a claim, record or call, never once a task of a chunk.
 */
class Happening<Event extends object> {
  readonly #channel: Channel;

  readonly #name: string;

  constructor(name: string) {
    this.#name = `tally:${name}`;
    this.#channel = channel(this.#name);
  }

  tell(event: Event): void {
    if (this.#channel.hasSubscribers) this.#channel.publish(event);
  }

  /** @param listen must not throw @returns what ends it */
  hear(listen: (event: Event) => void): () => void {
    const heard = (event: unknown) => listen(event as Event);
    subscribe(this.#name, heard);
    return () => unsubscribe(this.#name, heard);
  }
}

/** Jobs were added, and their tasks are ready. */
export const workAdded = new Happening<{ readonly jobs: number }>('work-added');

/** Chunks were leased. */
export const chunksClaimed = new Happening<{ readonly leases: readonly { readonly type: string }[] }>(
  'chunks-claimed',
);

/** Results of a chunk are committed. */
export const resultsRecorded = new Happening<{
  readonly type: string;
  readonly succeeded: number;
  readonly failed: number;
  /** From the first try until the database had answered. */
  readonly seconds: number;
}>('results-recorded');

/** Calls of handlers have ended, for so many tasks; together they took so long. */
export const tasksRan = new Happening<{
  readonly type: string;
  readonly tasks: number;
  readonly seconds: number;
}>('tasks-ran');

/** A chunk was another's, or its job over, when something was to be written of it. */
export const leaseLost = new Happening<{ readonly type: string }>('lease-lost');

/** Chunks were taken back from workers that have said nothing for the length of a lease. */
export const chunksRescued = new Happening<{ readonly chunks: number }>('chunks-rescued');

/** A request to a job's callback_url has been made. */
export const callbackSent = new Happening<{ readonly outcome: 'delivered' | 'failed' | 'cut-off' }>(
  'callback-sent',
);

/** Jobs were removed, since their time is over. */
export const jobsExpired = new Happening<{ readonly jobs: number }>('jobs-expired');
