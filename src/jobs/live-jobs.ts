import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { setTimeout as sleep } from 'node:timers/promises';
import { Closing } from '../http/closing.js';
import { AccountFeed, RECENT_SECONDS, type Processed } from './account-feed.js';
import { FeedWatcher } from './feed-watcher.js';
import { JobsService } from './jobs.service.js';
import { LiveJobsStore } from './live-jobs.store.js';

const LOOK_MS = 250;
/** After a look it rests for so many times what the look took: a slow database is not asked all the time. */
const REST = 3;
const LOOK_MS_MAX = 2_000;
const STATS_MS = 950;
/** A commit may be seen so much later than the time in its row says. */
const OVERLAP_MS = 2_000;
/** So long an account is looked at when nobody watches any more: a page that is loaded anew comes back. */
const GRACE_MS = 30_000;
/** Jobs of an account of which a removal is noticed, the newest. */
const NEWEST_MAX = 1_000;
const REMEMBERED_MAX = 10_000;

/**
 * Keeps the lists of jobs that are watched, for all pages of this process at once: one look four times a second for however many
 * watch however many accounts, and none when nobody does. What has changed is read once, and printed once.
 */
@Injectable()
export class LiveJobs implements OnModuleInit {
  readonly #feeds = new Map<number, AccountFeed>();
  /** What accounts that are not watched now had processed: the numbers never run back while the process lives. */
  readonly #before = new LRUCache<number, Processed>({ max: REMEMBERED_MAX });
  readonly #log = new Logger('LiveJobs');
  /** By Postgres's clock, when it was last looked. */
  #at: Date | null = null;
  #statsAt = -Infinity;
  #isLooking = false;
  #isAway = false;
  #looks = 0;

  constructor(
    private readonly store: LiveJobsStore,
    private readonly jobs: JobsService,
    private readonly closing: Closing,
  ) {}

  onModuleInit(): void {
    this.closing.signal.addEventListener('abort', () => {
      for (const feed of this.#feeds.values()) for (const watcher of feed.watchers) watcher.end();
    });
  }

  /** How often it has looked so far. */
  get looks(): number {
    return this.#looks;
  }

  /** Accounts that are looked at. */
  get accounts(): number {
    return this.#feeds.size;
  }

  /** @returns the account's list, and what this one client is to be told of it; to be left with `leave` */
  watch(accountId: number): { feed: AccountFeed; watcher: FeedWatcher } {
    const watcher = new FeedWatcher();
    const feed = this.#feeds.get(accountId) ?? this.#begin(accountId);
    feed.watchers.add(watcher);
    if (this.closing.signal.aborted) watcher.end();
    else void this.#lookOn();
    return { feed, watcher };
  }

  leave(feed: AccountFeed, watcher: FeedWatcher): void {
    feed.watchers.delete(watcher);
    feed.emptySince = performance.now();
  }

  #begin(accountId: number): AccountFeed {
    const feed = new AccountFeed(accountId, this.#before.get(accountId) ?? { processed: 0, failed: 0 });
    this.#feeds.set(accountId, feed);
    this.#at = null;
    this.#statsAt = -Infinity;
    return feed;
  }

  /** Never rejects. */
  async #lookOn(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    while (this.#feeds.size > 0 && !this.closing.signal.aborted) {
      const began = performance.now();
      await this.#tryToLook();
      const tookMs = performance.now() - began;
      const restMs = Math.min(LOOK_MS_MAX, Math.max(LOOK_MS - tookMs, REST * tookMs));
      await sleep(restMs, undefined, { signal: this.closing.signal }).catch(() => undefined);
      this.#forgetUnwatched();
    }
    this.#isLooking = false;
  }

  /** While the database is away those who watch hear nothing new, and go on watching. */
  async #tryToLook(): Promise<void> {
    try {
      await this.#look([...this.#feeds.values()]);
      this.#isAway = false;
    } catch (error) {
      if (!this.#isAway && !this.closing.signal.aborted)
        this.#log.warn({ err: error, msg: 'the watched accounts cannot be looked at' });
      this.#isAway = true;
    }
  }

  async #look(feeds: readonly AccountFeed[]): Promise<void> {
    this.#looks += 1;
    for (const feed of feeds) feed.begin();
    const ids = feeds.map((feed) => feed.accountId);
    const areStatsDue = performance.now() - this.#statsAt >= STATS_MS;
    if (areStatsDue) await this.#lookAround(feeds, ids);
    const since = this.#at && new Date(this.#at.getTime() - OVERLAP_MS);
    const { at, heads } = await this.store.look(ids, since, RECENT_SECONDS);
    const headsOf = byAccount(heads);
    const changes = feeds.map((feed) => feed.changed(headsOf.get(feed.accountId) ?? []));
    const rows = await this.jobs.known(changes.flat());
    const rowOf = new Map(rows.map((row) => [row.id, row]));
    for (const [n, feed] of feeds.entries()) {
      feed.take(changes[n] ?? [], rowOf);
      if (areStatsDue) feed.statsAreDue();
      feed.wake();
    }
    // An account that came meanwhile wants the next look to reach back.
    if (feeds.length === this.#feeds.size) this.#at = at;
  }

  /** What need not be known four times a second. */
  async #lookAround(feeds: readonly AccountFeed[], ids: readonly number[]): Promise<void> {
    this.#statsAt = performance.now();
    const running = byAccount(await this.store.running(ids));
    const newest = new Map(
      (await this.store.newest(ids, NEWEST_MAX)).map((found) => [found.accountId, found.ids]),
    );
    for (const feed of feeds) {
      const tasks = running.get(feed.accountId) ?? [];
      feed.takeRunning(new Map(tasks.map((one) => [one.id, one.running])));
      feed.takeNewest(newest.get(feed.accountId) ?? [], NEWEST_MAX);
    }
  }

  #forgetUnwatched(): void {
    for (const [id, feed] of this.#feeds) {
      if (feed.watchers.size > 0 || performance.now() - feed.emptySince < GRACE_MS) continue;
      this.#before.set(id, feed.counts);
      this.#feeds.delete(id);
    }
  }
}

/** Map.groupBy came after Node 20. */
function byAccount<T extends { readonly accountId: number }>(rows: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const row of rows) {
    const group = groups.get(row.accountId);
    if (group) group.push(row);
    else groups.set(row.accountId, [row]);
  }
  return groups;
}
