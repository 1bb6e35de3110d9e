import { Inject, Injectable, Logger } from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { DATABASE_URL } from '../database/prisma.service.js';
import { isPooled } from '../database/pooler.js';
import { messageOf } from '../errors.js';

const RECONNECT_MS = 1_000;
const TIMEOUT_MS = 5_000;

/**
 * Hears the notifications of Postgres on a connection of its own, and connects again when it is cut. What is said
 * meanwhile is lost: whoever listens must also look by itself now and then.
 *
 * Through a transaction pooler nothing is heard, and a LISTEN would stay on a connection that others use: there it is left
 * be, and the looks alone carry the work.
 */
@Injectable()
export class WakeUp {
  #client: pg.Client | null = null;
  #isOpen = false;
  #isListening = false;
  #reconnect: NodeJS.Timeout | null = null;
  /** Since when it cannot listen is one line in the log, not one a second. */
  #isTold = false;
  readonly #url: string;
  readonly #log = new Logger('WakeUp');
  readonly #listeners = new Map<string, (payload: string) => void>();

  constructor(
    @Inject(DATABASE_URL) url: string,
    @Inject(CONFIG) { DIRECT_DATABASE_URL: direct }: Pick<Config, 'DIRECT_DATABASE_URL'>,
  ) {
    this.#url = direct ?? url;
  }

  /** Whether what is said now is heard. */
  get isListening(): boolean {
    return this.#isListening;
  }

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
      connectionString: this.#url,
      application_name: 'tally-listener',
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
      keepAlive: true,
    });
    client.on('error', () => this.#connectLater(client));
    client.on('end', () => this.#connectLater(client));
    client.on('notification', ({ channel, payload }) => this.#listeners.get(channel)?.(payload ?? ''));
    this.#client = client;
    try {
      await client.connect();
      if (await isPooled(client)) {
        this.#leave(client);
        return;
      }
      for (const channel of this.#listeners.keys())
        await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      this.#isTold = false;
      this.#isListening = client === this.#client;
      for (const listener of this.#listeners.values()) listener('');
    } catch (error) {
      if (!this.#isTold) this.#log.warn(`cannot listen for notifications: ${messageOf(error)}`);
      this.#isTold = true;
      this.#connectLater(client);
    }
  }

  #leave(client: pg.Client): void {
    this.#client = null;
    client.end().catch(() => undefined);
    this.#log.log(
      'a pooler stands before the database: there are no notifications, work is found by looking',
    );
  }

  #connectLater(client: pg.Client): void {
    if (!this.#isOpen || client !== this.#client) return;
    this.#client = null;
    this.#isListening = false;
    client.end().catch(() => undefined);
    this.#reconnect = setTimeout(() => void this.#connect(), RECONNECT_MS);
    this.#reconnect.unref();
  }
}
