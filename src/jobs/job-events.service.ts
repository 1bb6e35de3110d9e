import { Injectable } from '@nestjs/common';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Principal } from '../auth/principal.js';
import { notFound } from '../errors.js';
import { parseJobId } from './job.js';
import { singleStatus, type StatusForm } from './job-status.view.js';
import { JobStore, type StatusHead } from './job.store.js';
import { JobWatcher } from './job-watcher.js';
import { WatchingPermit } from './watching-permit.js';

/** At most four events a second. */
const GAP_MS = 250;
/** Proxies close a connection on which nothing is said for a minute or less. */
const HEARTBEAT_MS = 15_000;
/** After how long a client whose connection was cut tries again. */
const RECONNECT_MS = 1_000;

export interface EventsRequest {
  /** Of the status in each event. */
  readonly form: StatusForm;
  /** The version of the last event that the client has seen, as its header Last-Event-ID says it. */
  readonly lastEventId: string | undefined;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
  /** Whether the credentials are still right. */
  readonly isAllowed: () => Promise<boolean>;
  readonly heartbeatMs?: number;
  readonly checkMs?: number;
}

/** Tells clients of a job's changes as server-sent events (WHATWG HTML, section 9.2). */
@Injectable()
export class JobEventsService {
  constructor(
    private readonly store: JobStore,
    private readonly watcher: JobWatcher,
  ) {}

  /**
   * @returns null when the job has ended and the client has seen its last event: there is nothing to come
   * @throws DomainError RecordNotFound
   */
  async open(caller: Principal, text: string, request: EventsRequest): Promise<Readable | null> {
    const id = parseJobId(text);
    const head = id && (await this.store.head(caller.accountId, id));
    if (!head) throw notFound();
    const isSeen = request.lastEventId === String(head.version);
    if (isSeen && head.status !== 'working') return null;
    return Readable.from(this.#events(head, isSeen, request), { objectMode: false });
  }

  /**
   * The state now, each change of it, and the end. A client that reads slowly misses changes, and always gets the newest.
   * @param isSeen whether the client knows the state now
   */
  async *#events(first: StatusHead, isSeen: boolean, request: EventsRequest) {
    const { form, signal, heartbeatMs = HEARTBEAT_MS } = request;
    const permit = new WatchingPermit(request.isAllowed, request.checkMs);
    yield `retry: ${RECONNECT_MS}\n\n`;
    if (!isSeen) yield statusEvent(first, form);
    let told = first;
    while (told.status === 'working') {
      await sleep(GAP_MS, undefined, { signal }).catch(() => undefined);
      const { id, version, message } = told;
      const now = await this.watcher.watch(id, {
        until: (seen) => seen.version !== version || seen.message !== message,
        timeoutMs: heartbeatMs,
        signal,
      });
      if (now === null || signal.aborted || this.watcher.isClosing || !(await permit.holds())) return;
      if (now) told = now;
      yield now ? statusEvent(now, form) : ':\n\n';
    }
  }
}

/** Its data is one line: JSON has no raw newline. */
const statusEvent = (head: StatusHead, form: StatusForm): string =>
  `event: status\nid: ${head.version}\ndata: ${singleStatus(head, '[]', form)}\n\n`;
