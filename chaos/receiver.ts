import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import type { Random } from './random.js';
import type { Verdict } from './verdict.js';
import type { JobWatch, Status } from './watched-job.js';

/** Whom callbacks are sent to: does not take every one at once, and checks what it is told. */
export class Receiver {
  readonly #server: Server;
  readonly #told = new Map<string, { readonly webhookId: string; readonly body: string; isTaken: boolean }>();

  private constructor(
    private readonly webhook: Webhook,
    private readonly random: Random,
    private readonly verdict: Verdict,
  ) {
    this.#server = createServer((request, response) => {
      this.#receive(request, response).catch(() => response.destroy());
    });
  }

  static async start(secret: string, random: Random, verdict: Verdict): Promise<Receiver> {
    const receiver = new Receiver(new Webhook(secret), random, verdict);
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ended`;
  }

  /** Waits until the end of each job that asked for it was told and taken, and holds it against the job. */
  async conclude(watches: readonly JobWatch[], byMs: number): Promise<void> {
    const ended = watches.filter(({ job, end }) => job.hasCallback && end);
    while (Date.now() < byMs && ended.some(({ job }) => !this.#told.get(job.id)?.isTaken)) await sleep(100);
    for (const watch of ended) {
      const told = this.#told.get(watch.job.id);
      if (told?.isTaken) watch.agree(dataOf(told.body), 'a callback');
      else {
        const how = told ? 'was told of, and not again when that was refused' : 'was never told of';
        this.verdict.violation('whoever asked is told of the end', `job ${watch.job.id} ${how}`);
      }
    }
    this.verdict.count('jobs whose end was told', ended.length);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const webhookId = String(request.headers['webhook-id']);
    this.verdict.count('callbacks');
    try {
      this.webhook.verify(body, request.headers as Record<string, string>);
    } catch (error) {
      this.verdict.violation('a callback is signed', `${webhookId}: ${String(error)}`);
    }
    const { id, status } = dataOf(body);
    if (status === 'working') this.verdict.violation('a callback is of an end', body);
    const told = this.#told.get(id);
    if (!told) {
      this.#first(id, { webhookId, body }, response);
      return;
    }
    if (told.webhookId !== webhookId || told.body !== body)
      this.verdict.violation(
        'a callback that is repeated stays the same',
        `${told.webhookId} ${told.body}, then ${webhookId} ${body}`,
      );
    this.verdict.count(told.isTaken ? 'callbacks told twice' : 'callbacks told again');
    told.isTaken = true;
    response.writeHead(204).end();
  }

  /** Some are refused once, some get no answer. */
  #first(id: string, told: { webhookId: string; body: string }, response: ServerResponse): void {
    const fate = this.random.next();
    this.#told.set(id, { ...told, isTaken: fate >= 0.2 });
    if (fate < 0.1) response.destroy();
    else response.writeHead(fate < 0.2 ? 500 : 204).end();
  }
}

const dataOf = (body: string): Status => (JSON.parse(body) as { data: Status }).data;
