/** The name of the harness's own connections, which are never ended. */
export const OBSERVER = 'chaos';

/** The database of a run, and what can be done to it. */
export interface ChaosDatabase {
  /** What the service is given. */
  readonly url: string;
  /** Something is done to it that must be over before the next of its kind begins. */
  readonly isBusy: boolean;
  /** Immediate shutdown: no goodbye, no checkpoint; the next start recovers from the log. */
  restart(downMs: number): Promise<void>;
  /** Ends everything and leaves nothing behind. */
  remove(): Promise<void>;
}

/** How a promotion goes. */
export interface Promotion {
  /** From the death of the primary until the standby is promoted. */
  readonly downMs: number;
  /** Whether the pooler is led to the standby before it is promoted and may write. */
  readonly leadsFirst: boolean;
}

/** With a standby that has all that was committed, and a pooler that leads to one of the two. */
export interface FailoverDatabase extends ChaosDatabase {
  /**
   * Kills the primary, promotes the standby and leads the pooler to it.
   * @returns whether there was a standby that had everything
   */
  promote(how: Promotion): Promise<boolean>;
  /** Kills the pooler, and starts it again. */
  restartPooler(downMs: number): Promise<void>;
}
