import { Injectable } from '@nestjs/common';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiveJobs } from './live-jobs.js';
import { WatchingPermit } from './watching-permit.js';

/** At most four events of a kind a second. */
const GAP_MS = 250;
/** Proxies close a connection on which nothing is said for a minute or less. */
const HEARTBEAT_MS = 15_000;
/** After how long a client whose connection was cut tries again. */
const RECONNECT_MS = 1_000;

export interface LiveEventsRequest {
  readonly accountId: number;
  /** Of the urls in the events. */
  readonly origin: string;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
  /** Whether the credentials are still right. */
  readonly isAllowed: () => Promise<boolean>;
  readonly checkMs?: number;
}

/** Tells clients of all changes of their account's jobs as server-sent events. */
@Injectable()
export class LiveEventsService {
  constructor(private readonly live: LiveJobs) {}

  open(request: LiveEventsRequest): Readable {
    return Readable.from(this.#events(request), { objectMode: false });
  }

  /** A client that reads slowly misses steps on the way, and always gets the newest. */
  async *#events({ accountId, origin, signal, isAllowed, checkMs }: LiveEventsRequest) {
    const { feed, watcher } = this.live.watch(accountId);
    try {
      yield `retry: ${RECONNECT_MS}\n\n`;
      const permit = new WatchingPermit(isAllowed, checkMs);
      for (;;) {
        await watcher.news(HEARTBEAT_MS, signal);
        if (watcher.isOver || signal.aborted) return;
        if (!(await permit.holds())) return;
        yield feed.tell(watcher, origin) || ':\n\n';
        await sleep(GAP_MS, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      this.live.leave(feed, watcher);
    }
  }
}
