import { Inject, Injectable, Logger } from '@nestjs/common';
import pg from 'pg';
import { DATABASE_URL } from '../database/prisma.service.js';
import { messageOf } from '../errors.js';

const RECONNECT_MS = 1_000;

/**
 * Hears the notifications of Postgres on a connection of its own, and connects again when it is cut. What is said
 * meanwhile is lost: whoever listens must also look by itself now and then.
 */
@Injectable()
export class WakeUp {
  #client: pg.Client | null = null;
  #isOpen = false;
  #reconnect: NodeJS.Timeout | null = null;
  readonly #log = new Logger('WakeUp');
  readonly #listeners = new Map<string, (payload: string) => void>();

  constructor(@Inject(DATABASE_URL) private readonly url: string) {}

  /** @param listeners a channel each; also called, with an empty payload, when the connection is there again */
  async open(listeners: Readonly<Record<string, (payload: string) => void>>): Promise<void> {
    for (const [channel, listener] of Object.entries(listeners)) this.#listeners.set(channel, listener);
    this.#isOpen = true;
    await this.#connect();
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    if (this.#reconnect) clearTimeout(this.#reconnect);
    await this.#client?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.url,
      application_name: 'tally-listener',
      keepAlive: true,
    });
    client.on('error', () => this.#connectLater(client));
    client.on('end', () => this.#connectLater(client));
    client.on('notification', ({ channel, payload }) => this.#listeners.get(channel)?.(payload ?? ''));
    this.#client = client;
    try {
      await client.connect();
      for (const channel of this.#listeners.keys())
        await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      for (const listener of this.#listeners.values()) listener('');
    } catch (error) {
      this.#log.warn(`cannot listen for notifications: ${messageOf(error)}`);
      this.#connectLater(client);
    }
  }

  #connectLater(client: pg.Client): void {
    if (!this.#isOpen || client !== this.#client) return;
    this.#client = null;
    client.end().catch(() => undefined);
    this.#reconnect = setTimeout(() => void this.#connect(), RECONNECT_MS);
    this.#reconnect.unref();
  }
}
