import { batch, signal } from '@preact/signals';
import type { JobsChange, Stats } from '../api/types.js';
import { whoAmI } from '../session/session.js';
import { forget, record } from './history.js';

/** Someone who shows jobs. */
export interface Follower {
  /** Changes, as they come. */
  changed(change: JobsChange): void;
  /** The connection is there again: changes may have been missed. */
  reconnected(): void;
}

const RETRY_MS = 3_000;

export type Connection = 'connecting' | 'open' | 'broken';
export const connection = signal<Connection>('connecting');

const followers = new Set<Follower>();
let source: EventSource | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;
let wasOpen = false;
let isWanted = false;

/** @returns how to stop */
export function follow(follower: Follower): () => void {
  followers.add(follower);
  return () => followers.delete(follower);
}

/** The one connection of this page, for all that is live on it, from the sign-in to the sign-out. */
export function connect(): () => void {
  isWanted = true;
  open();
  return () => {
    isWanted = wasOpen = false;
    clearTimeout(retry);
    source?.close();
    forget();
  };
}

function open(): void {
  connection.value = 'connecting';
  source = new EventSource('/api/v2/jobs/events');
  source.onopen = () => {
    connection.value = 'open';
    if (wasOpen) for (const follower of followers) follower.reconnected();
    wasOpen = true;
  };
  source.onerror = () => void onBroken();
  source.addEventListener('jobs', (event: MessageEvent<string>) => {
    const change = JSON.parse(event.data) as JobsChange;
    // All that a message changes is one rendering.
    batch(() => {
      for (const follower of followers) follower.changed(change);
    });
  });
  source.addEventListener('stats', (event: MessageEvent<string>) => record(JSON.parse(event.data) as Stats));
}

/** The browser connects again by itself after a cut; after a refusal it does not, and only says that there was an error. */
async function onBroken(): Promise<void> {
  connection.value = 'broken';
  if (source?.readyState !== EventSource.CLOSED) return;
  source.close();
  // A session that is over ends all this by itself.
  await whoAmI().catch(() => undefined);
  if (isWanted) retry = setTimeout(open, RETRY_MS);
}
