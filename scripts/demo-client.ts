import { setTimeout as sleep } from 'node:timers/promises';
import type { ScratchService } from './scratch-service.js';

/** What the polled resource says. */
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
  readonly title: string | null;
  readonly action: string;
  readonly errors: string;
  readonly id: number;
  readonly success: boolean;
  readonly status: string;
}

export interface Ticket {
  readonly id: number;
  readonly title: string;
  readonly description: string;
  readonly status: string;
  readonly priority: string | null;
  readonly tags: readonly string[];
  readonly revision: number;
}

export interface TicketPage {
  readonly tickets: readonly Ticket[];
  readonly links: { readonly next: string | null };
}

const POLL_MS = 25;
const BAR_WIDTH = 30;

/** Calls the service as any client would, and says each call as a curl command. The story is told on standard error. */
export class DemoClient {
  constructor(
    private readonly service: ScratchService,
    private readonly signal: AbortSignal,
  ) {}

  say(line = ''): void {
    process.stderr.write(`${line}\n`);
  }

  /** @param shown how curl would be given the body */
  async submit(method: 'POST' | 'PUT', path: string, body: unknown, shown: string): Promise<Status> {
    const url = this.service.origin + path;
    this.curl(`-X ${method} -H 'Content-Type: application/json' -d ${shown} ${url}`);
    const answer = await this.#fetch(url, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const status = (await answer.json()) as Status;
    this.say(`  ${answer.status} Location: ${answer.headers.get('location') ?? 'none'}`);
    return status;
  }

  /** Polls the job until it ends, showing its progress. @returns the last body as it came, and what it says */
  async follow(job: Status): Promise<{ text: string; status: Status }> {
    this.curl(job.url);
    for (let shown = -1; ;) {
      const text = await (await this.#fetch(job.url)).text();
      const status = JSON.parse(text) as Status;
      const hasEnded = status.status !== 'working';
      if (status.progress !== shown || hasEnded) this.#showProgress(status, hasEnded);
      if (hasEnded) return { text, status };
      shown = status.progress;
      await sleep(POLL_MS, undefined, { signal: this.signal });
    }
  }

  async get<T>(url: string): Promise<T> {
    return (await (await this.#fetch(url)).json()) as T;
  }

  curl(rest: string): void {
    this.say(`  $ curl -u ${this.service.email}:$PASSWORD ${rest}`);
  }

  /** One line that is written over on a terminal; a line each time where the output goes elsewhere. */
  #showProgress({ status, progress, total }: Status, isLast: boolean): void {
    const done = Math.round((progress / total) * BAR_WIDTH);
    const bar = '#'.repeat(done) + '.'.repeat(BAR_WIDTH - done);
    const line = `  [${bar}] ${progress}/${total} ${status}`;
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}${isLast ? '\n' : ''}`);
    else this.say(line);
  }

  async #fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const { email, password } = this.service;
    const authorization = `Basic ${Buffer.from(`${email}:${password}`).toString('base64')}`;
    const answer = await fetch(url, {
      ...init,
      headers: { ...(init.headers as Record<string, string> | undefined), authorization },
      signal: this.signal,
    });
    if (answer.ok) return answer;
    throw new Error(`${init.method ?? 'GET'} ${url} answered ${answer.status}: ${await answer.text()}`);
  }
}
