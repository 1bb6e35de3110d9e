import { Inject, Injectable, Logger } from '@nestjs/common';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { CONFIG, type Config } from '../config/config.js';
import { callbackSent } from '../happenings.js';
import { printJobId } from '../jobs/job.js';
import { isDatabaseAway } from '../sql-errors.js';
import { callbackMessage } from './callback.message.js';
import { backoffMs, MAX_ATTEMPTS, type Outcome } from './callback-outcome.js';
import { CallbackPost } from './callback.request.js';
import { CallbackStore, type DueCallback, type Written } from './callback.store.js';

/** How long until it looks again for what is due. No notification: they would make the commits that end jobs wait for another. */
const LOOK_MS = 1_000;
/** Requests at once. They mostly wait, so it may be many. */
const PLACES = 50;
/** An account whose receivers keep so many of them waiting gets no more, or it would keep all others waiting too. */
const ACCOUNT_PLACES = 10;
/** Taken at once, at most; so an account has fewer than twice its places. */
const CLAIM = ACCOUNT_PLACES;
/** Between tries to write down an outcome while the database is away, for about as long as the claim lasts. */
const WRITE_PAUSE_MS = 500;
const WRITE_TRIES = 50;

type Settings = Pick<Config, 'CALLBACK_SECRET' | 'CALLBACK_ALLOW_PRIVATE' | 'DRAIN_SECONDS' | 'PUBLIC_URL'>;

/** Tells receivers that their jobs have ended: at least once, and again until they have heard it or a day has passed. */
@Injectable()
export class CallbackDeliverer {
  readonly #post: CallbackPost;
  readonly #inFlight = new Map<DueCallback, Promise<void>>();
  readonly #cutOff = new AbortController();
  readonly #log = new Logger('Callbacks');
  #isOpen = false;
  #isAway = false;
  #looping: Promise<void> = Promise.resolve();
  #wake = new AbortController();

  constructor(
    private readonly store: CallbackStore,
    @Inject(CONFIG) private readonly settings: Settings,
  ) {
    this.#post = new CallbackPost(settings.CALLBACK_ALLOW_PRIVATE);
    setMaxListeners(PLACES, this.#cutOff.signal);
  }

  /** Without CALLBACK_SECRET it does nothing: what is due stays so, for a process that has it. */
  start(): void {
    if (!this.settings.CALLBACK_SECRET) return;
    this.#isOpen = true;
    this.#looping = this.#loop(this.settings.CALLBACK_SECRET);
  }

  /** Drains: begins no more requests, gives those under way `DRAIN_SECONDS`, then cuts them off; they stay due. */
  async stop(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#wake.abort();
    const timer = setTimeout(() => this.#cutOff.abort(), this.settings.DRAIN_SECONDS * 1_000);
    await this.#looping;
    await Promise.all(this.#inFlight.values());
    clearTimeout(timer);
  }

  async #loop(secrets: readonly string[]): Promise<void> {
    while (this.#isOpen) {
      // Made before the look, so that a place that becomes free meanwhile ends the rest before it begins.
      this.#wake = new AbortController();
      const claimed = await this.#claim(secrets);
      if (claimed === 0)
        await sleep(LOOK_MS, undefined, { signal: this.#wake.signal }).catch(() => undefined);
    }
  }

  /** @returns how many requests have been begun */
  async #claim(secrets: readonly string[]): Promise<number> {
    const places = Math.min(CLAIM, PLACES - this.#inFlight.size);
    if (places === 0) return 0;
    try {
      const claimed = await this.store.claim(places, this.#busyAccounts());
      this.#isAway = false;
      for (const due of claimed) this.#begin(due, secrets);
      return claimed.length;
    } catch (error) {
      this.#complain(error);
      return 0;
    }
  }

  #busyAccounts(): number[] {
    const places = new Map<number, number>();
    for (const { accountId } of this.#inFlight.keys())
      places.set(accountId, (places.get(accountId) ?? 0) + 1);
    return [...places].filter(([, taken]) => taken >= ACCOUNT_PLACES).map(([accountId]) => accountId);
  }

  #begin(due: DueCallback, secrets: readonly string[]): void {
    const delivery = this.#deliver(due, secrets)
      .catch((error: unknown) => this.#complain(error))
      .finally(() => {
        this.#inFlight.delete(due);
        this.#wake.abort();
      });
    this.#inFlight.set(due, delivery);
  }

  async #deliver(due: DueCallback, secrets: readonly string[]): Promise<void> {
    const message = callbackMessage(due, secrets, this.settings.PUBLIC_URL);
    const outcome = await this.#post.send(due.url, message, this.#cutOff.signal);
    callbackSent.tell({ outcome: outcome.is });
    const written = await this.#patiently(() => this.#write(due, outcome));
    if (written === 'lost')
      this.#log.log({ job: printJobId(due.jobId), msg: 'the callback was settled without this process' });
  }

  #write(due: DueCallback, outcome: Outcome): Promise<Written> {
    if (outcome.is === 'delivered') return this.store.deliver(due);
    if (outcome.is === 'cut-off') return this.store.handBack(due);
    const { error, isFinal, retryAfterMs } = outcome;
    if (!isFinal && due.attempt < MAX_ATTEMPTS)
      return this.store.retryLater(due, error, backoffMs(due.attempt, Math.random(), retryAfterMs));
    this.#log.warn({ job: printJobId(due.jobId), msg: `the callback has failed: ${error}` });
    return this.store.giveUp(due, error);
  }

  /** What was received must not be sent again only because the database was away for a moment. */
  async #patiently(write: () => Promise<Written>): Promise<Written> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await write();
      } catch (error) {
        if (!isDatabaseAway(error) || !this.#isOpen || attempt === WRITE_TRIES) throw error;
        this.#complain(error);
        await sleep(WRITE_PAUSE_MS);
      }
    }
  }

  /** Once, until it works again. */
  #complain(error: unknown): void {
    if (!isDatabaseAway(error)) this.#log.error({ err: error, msg: 'a callback could not be seen to' });
    else if (!this.#isAway) this.#log.error('no callbacks are sent: the database is away');
    this.#isAway = isDatabaseAway(error);
  }
}
