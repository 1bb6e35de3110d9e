import type { Random } from './random.js';
import type { Request } from './client.js';

/** Something to submit, and how it may end. */
export interface Submission {
  readonly type: string;
  readonly request: Request;
  readonly total: number;
  readonly ends: ReadonlySet<string>;
  /** Of tickets.create: the titles in the order of the tasks. */
  readonly titles?: readonly string[];
  /** Of a streamed one: its connection is cut once before it is sent whole. */
  readonly isCut?: true;
  readonly hasCallback: boolean;
  /** Its deadline may be over before it is taken, which is a refusal. */
  readonly mayBeLate?: true;
}

/** Attempts of every job with failing tasks; the verdict compares. */
export const MAX_ATTEMPTS = 3;

const COMPLETED = new Set(['completed']);
const MAY_FAIL = new Set(['completed', 'failed']);
const JOBS = '/api/v2/jobs.json';

/** What one customer submits: a mixture of everything the service takes, in sizes that three workers get through. */
export class Submissions {
  #count = 0;

  /**
   * @param tickets ids of tickets that the account has or had
   * @param callbackUrl where the end of some jobs is to be told
   */
  constructor(
    private readonly customer: string,
    private readonly random: Random,
    private readonly tickets: readonly number[],
    private readonly callbackUrl: string,
  ) {}

  next(): Submission {
    this.#count += 1;
    const make = this.random.weighted<() => Submission>([
      [() => this.#create(), 3],
      [() => this.#createMany(), 3],
      [() => this.#update(), 4],
      [() => this.#updateMany(), 4],
      [() => this.#updateSame(), 2],
      [() => this.#destroyMany(), 1],
      [() => this.#sleep(), 5],
      [() => this.#fail(), 4],
      [() => this.#failTooOften(), 1],
      [() => this.#deadline(), 1],
      [() => this.#upload(), 4],
    ]);
    return make();
  }

  get #key(): string {
    return `${this.customer}-${this.#count}`;
  }

  #times<T>(min: number, max: number, make: (at: number) => T): T[] {
    return Array.from({ length: this.random.integer(min, max) }, (_, at) => make(at));
  }

  #titles(min: number, max: number): string[] {
    return this.#times(min, max, (at) => `${this.#key} ${at}`);
  }

  #known(min: number, max: number): number[] {
    const ids = this.#times(min, max, () => this.random.pick(this.tickets));
    return ids.filter((id) => id !== undefined);
  }

  #json(path: string, method: string, body: unknown): Request {
    return { method, path, body: JSON.stringify(body), key: this.#key };
  }

  #job(type: string, tasks: readonly unknown[], options: object = {}): Submission {
    const callback = this.#callback();
    const body = {
      ...{ type, name: this.#key, priority: this.random.integer(-2, 2) },
      ...options,
      ...callback,
      tasks,
    };
    const request = this.#json(JOBS, 'POST', body);
    return { type, request, total: tasks.length, ends: COMPLETED, hasCallback: 'callback_url' in callback };
  }

  #callback(): { callback_url?: string } {
    return this.random.chance(0.3) ? { callback_url: this.callbackUrl } : {};
  }

  #create(): Submission {
    const titles = this.#titles(1, 300);
    const job = this.#job(
      'tickets.create',
      titles.map((title) => ({ title, tags: ['chaos'] })),
    );
    return { ...job, titles };
  }

  #createMany(): Submission {
    const titles = this.#titles(1, 100);
    const body = { tickets: titles.map((subject) => ({ subject, comment: { body: 'from the load' } })) };
    const request = this.#json('/api/v2/tickets/create_many.json', 'POST', body);
    return {
      type: 'tickets.create',
      request,
      total: titles.length,
      ends: COMPLETED,
      titles,
      hasCallback: false,
    };
  }

  /** Some tickets come again and again, so that jobs with an order and waits for locks are among them. */
  #update(): Submission {
    const ids = this.#known(1, 200);
    if (ids.length === 0) return this.#create();
    return this.#job(
      'tickets.update',
      ids.map((id, at) => ({ id, title: `${this.#key} update ${at}` })),
    );
  }

  #updateMany(): Submission {
    const ids = this.#known(1, 100);
    if (ids.length === 0) return this.#createMany();
    const body = { tickets: ids.map((id) => ({ id, tags: [this.#key] })) };
    const request = this.#json('/api/v2/tickets/update_many.json', 'PUT', body);
    return { type: 'tickets.update', request, total: ids.length, ends: COMPLETED, hasCallback: false };
  }

  #updateSame(): Submission {
    const ids = [...new Set(this.#known(1, 100))];
    if (ids.length === 0) return this.#createMany();
    const path = `/api/v2/tickets/update_many.json?ids=${ids.join()}`;
    const request = this.#json(path, 'PUT', { ticket: { priority: 'high', status: 'open' } });
    return { type: 'tickets.update', request, total: ids.length, ends: COMPLETED, hasCallback: false };
  }

  #destroyMany(): Submission {
    const ids = [...new Set(this.#known(1, 20))];
    if (ids.length === 0) return this.#createMany();
    const path = `/api/v2/tickets/destroy_many.json?ids=${ids.join()}`;
    const request = { method: 'DELETE', path, key: this.#key };
    return { type: 'tickets.delete', request, total: ids.length, ends: COMPLETED, hasCallback: false };
  }

  #sleep(): Submission {
    const longest = this.random.integer(0, 300);
    return this.#job(
      'demo.sleep',
      this.#times(1, 300, () => ({ ms: this.random.integer(0, longest), note: this.#key })),
    );
  }

  /** A task's note is how often it fails: its result repeats it, so the number of its attempts can be held against it. */
  #fail(): Submission {
    return this.#job(
      'demo.fail',
      this.#times(1, 80, () => {
        const times = this.random.integer(0, MAX_ATTEMPTS);
        return { times, note: String(times) };
      }),
      { max_attempts: MAX_ATTEMPTS },
    );
  }

  #failTooOften(): Submission {
    const tasks = this.#times(20, 200, () => ({ times: this.random.chance(0.3) ? 9 : 0 }));
    const maxFailures = this.random.integer(0, 20);
    const isTooMuch = tasks.filter(({ times }) => times > 0).length > maxFailures;
    const job = this.#job('demo.fail', tasks, { max_attempts: 1, max_failures: maxFailures });
    return { ...job, ends: isTooMuch ? new Set(['failed']) : COMPLETED };
  }

  #deadline(): Submission {
    const deadline = new Date(Date.now() + this.random.integer(2_000, 8_000)).toISOString();
    const tasks = this.#times(100, 400, () => ({ ms: this.random.integer(0, 300) }));
    return { ...this.#job('demo.sleep', tasks, { deadline }), ends: MAY_FAIL, mayBeLate: true };
  }

  /** Now and then with more tasks than a status shows; half of them so long that they are written while they come. */
  #upload(): Submission {
    const max = this.random.chance(0.25) ? 3_000 : 800;
    const isTickets = this.random.chance(0.5);
    const text = this.random.chance(0.5) ? 'x'.repeat(900) : '';
    const titles = this.#titles(text ? 300 : 1, max);
    const lines = titles.map((title) =>
      JSON.stringify(
        isTickets
          ? { title, description: text }
          : { ms: this.random.chance(0.05) ? 50 : 0, note: `${title} ${text}` },
      ),
    );
    const type = isTickets ? 'tickets.create' : 'demo.sleep';
    const callback = this.#callback();
    const query = new URLSearchParams({ type, name: this.#key, ...callback });
    const request = {
      method: 'POST',
      path: `${JOBS}?${query.toString()}`,
      body: `${lines.join('\n')}\n`,
      type: 'application/x-ndjson',
      key: this.#key,
    };
    return {
      ...{ type, request, total: titles.length, ends: COMPLETED, hasCallback: 'callback_url' in callback },
      ...(isTickets && titles.length <= 1_000 && { titles }),
      ...(this.random.chance(0.4) && { isCut: true as const }),
    };
  }
}
