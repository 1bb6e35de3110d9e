import { Inject, Injectable, Logger } from '@nestjs/common';
import { randomBytes, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { CONFIG, type Config } from '../config/config.js';
import { LaneService, LANES } from '../database/lane.service.js';
import { chunksClaimed, workAdded } from '../happenings.js';
import { EagerStarts, type EagerStart, type Submission } from '../jobs/eager-starts.js';
import { CHANGED_CHANNEL } from '../jobs/job-control.store.js';
import { READY_CHANNEL } from '../jobs/job.store.js';
import { TaskTypes } from '../jobs/task-types.js';
import { isDatabaseAway } from '../sql-errors.js';
import type { ClaimRequest } from './claim.sql.js';
import { ChunkExecutor, takesOnePlace, tasksAtOnce } from './chunk.executor.js';
import { ChunkStore } from './chunk.store.js';
import { Heartbeat } from './heartbeat.js';
import { firstLease, type Lease } from './lease.sql.js';
import { Pace } from './pace.js';
import { Places } from './places.js';
import { Reservations } from './reservations.js';
import { Solitude } from './solitude.js';
import { SuspectStore } from './suspect.store.js';
import { Sweeper } from './sweeper.js';
import { WakeUp } from './wake-up.js';
import { Outage } from '../outage.js';

/**
 * How long until the worker looks for work by itself: where it is told of new work, and where it is not, since its listener has
 * been cut or a pooler stands before the database. There the look alone keeps the promise of LEASE_SECONDS + 1 s.
 */
const POLL_MS = 1_000;
const UNTOLD_POLL_MS = 250;
/**
 * Claims of one process lie so far apart, at least. Of 2,000 small jobs that come at once each claim then takes several: one that
 * follows at once finds the few that have come meanwhile, and takes as much of a processor.
 */
const CLAIM_EVERY_MS = 10;
const CONTENDED_PAUSE_MS = 20;
/** A contended claim is tried again at once so often; then what it saw is not to be had. */
const CONTENDED_TRIES = 5;
const AWAY_PAUSE_MS = 500;
const TICK_MS = 250;
/** Chunks in one claim, at most: half of those that a claim looks at, so that two at once find some. */
const CLAIM_CHUNKS = 32;
/** Chunks that are held at once where there are fewer places, at most. They have up to 1 MiB each. */
const HELD_CHUNKS = 64;

type WorkerConfig = Pick<
  Config,
  'WORKER_CONCURRENCY' | 'LEASE_SECONDS' | 'DRAIN_SECONDS' | 'MAX_RUNNING_TASKS'
>;

/** The loop of a worker: claims chunks while there is room, and runs an executor for each. */
@Injectable()
export class WorkerService {
  /** Who holds a lease, for people to read: host:pid:random. */
  readonly name = `${hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`;
  readonly #places: Places;
  readonly #pace = new Pace();
  readonly #executors = new Set<ChunkExecutor>();
  readonly #solitude = new Solitude();
  /** The suspect of one task that this process holds: until it is done, nothing else is claimed. */
  #suspect: ChunkExecutor | null = null;
  readonly #leaseMs: number;
  readonly #accountLimit: number | null;
  readonly #log = new Logger('Worker');
  readonly #outage = new Outage(this.#log, 'no work can be claimed');
  #isOpen = false;
  #looping: Promise<void> = Promise.resolve();
  #tick: NodeJS.Timeout | null = null;
  #poke: (() => void) | null = null;
  #wasPoked = false;
  #claimedAtMs = -Infinity;
  /** Room for jobs that this process takes in, while they are being submitted. */
  readonly #reservations = new Reservations();
  #isClaiming = false;
  /** The last claim took as many chunks as it might. */
  #moreWaits = false;
  #stopHearing: (() => void) | null = null;

  constructor(
    @Inject(CONFIG) private readonly config: WorkerConfig,
    private readonly store: ChunkStore,
    private readonly suspects: SuspectStore,
    private readonly heartbeat: Heartbeat,
    private readonly lanes: LaneService,
    private readonly sweeper: Sweeper,
    private readonly types: TaskTypes,
    private readonly wakeUp: WakeUp,
    private readonly starts: EagerStarts,
  ) {
    this.#places = new Places(config.WORKER_CONCURRENCY);
    this.#leaseMs = config.LEASE_SECONDS * 1_000;
    this.#accountLimit = config.MAX_RUNNING_TASKS || null;
  }

  async start(): Promise<void> {
    this.#isOpen = true;
    await this.wakeUp.open({
      [READY_CHANNEL]: () => this.poke(),
      [CHANGED_CHANNEL]: () => {
        this.heartbeat.beat();
        this.sweeper.sweepSoon();
      },
    });
    // What this process takes in itself it need not be told by the database.
    this.#stopHearing = workAdded.hear(() => this.poke());
    const types = this.types.all().map(({ type }) => type);
    const self = { name: this.name, types, concurrency: this.config.WORKER_CONCURRENCY };
    await this.heartbeat.start(self, this.#executors, this.#leaseMs);
    this.sweeper.start();
    this.#tick = setInterval(() => {
      for (const executor of this.#executors) executor.tick();
    }, TICK_MS);
    this.#looping = this.#loop();
    this.starts.by({ reserve: (job) => this.#reserve(job) });
    this.#log.log(`worker ${this.name} runs up to ${this.config.WORKER_CONCURRENCY} tasks at once`);
  }

  /** False while this process has a worker whose heartbeat does not get through. True where it has none. */
  get isWell(): boolean {
    return !this.#isOpen || this.heartbeat.isWell;
  }

  /** There may be work, or room: look again. */
  poke(): void {
    this.#wasPoked = true;
    this.#poke?.();
  }

  /**
   * Drains: claims nothing more, hands back what has not begun, gives what runs `DRAIN_SECONDS`, then aborts it and hands
   * it back too.
   */
  async stop(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.starts.by(null);
    this.#stopHearing?.();
    this.poke();
    for (const executor of this.#executors) executor.drain();
    await this.#looping;
    await this.#reservations.none();
    for (const executor of this.#executors) executor.drain();
    const cutShort = setTimeout(() => {
      for (const executor of this.#executors) executor.cutShort();
    }, this.config.DRAIN_SECONDS * 1_000);
    await Promise.all([...this.#executors].map((executor) => executor.done));
    clearTimeout(cutShort);
    if (this.#tick) clearInterval(this.#tick);
    await this.heartbeat.stop();
    await this.wakeUp.close();
    await this.sweeper.stop();
  }

  async #loop(): Promise<void> {
    let contended = 0;
    while (this.#isOpen) {
      await this.#claimsApart();
      this.#wasPoked = false;
      const claim = await this.#claim();
      if (claim === 'away') {
        await this.#rest(AWAY_PAUSE_MS);
        continue;
      }
      contended = claim === 'contended' ? contended + 1 : 0;
      if (claim === 'some') continue;
      const isWorthATry = contended > 0 && contended <= CONTENDED_TRIES;
      await this.#rest(isWorthATry ? CONTENDED_PAUSE_MS * Math.random() : this.#pollMs);
    }
  }

  async #claimsApart(): Promise<void> {
    for (;;) {
      const restMs = this.#claimedAtMs + CLAIM_EVERY_MS - performance.now();
      if (restMs <= 0 || (this.#moreWaits && this.#executors.size <= HELD_CHUNKS / 2)) break;
      this.#wasPoked = false;
      await this.#rest(restMs);
      if (!this.#isOpen) break;
    }
    this.#claimedAtMs = performance.now();
  }

  get #pollMs(): number {
    return this.wakeUp.isListening ? POLL_MS : UNTOLD_POLL_MS;
  }

  async #claim(): Promise<'some' | 'none' | 'contended' | 'away'> {
    if (this.#suspect) return 'none';
    try {
      if (this.#solitude.isDue(performance.now()) && (await this.#claimSuspect())) return 'some';
      const request = this.#request();
      if (!request) return 'none';
      this.#isClaiming = true;
      const { leases, contended, suspects } = await this.store.claim(request);
      this.#outage.over();
      for (const lease of leases) this.#execute(lease);
      this.#moreWaits = leases.length === request.chunks;
      const isIdle = leases.length === 0 && this.#executors.size === 0;
      this.#solitude.learn(suspects, isIdle);
      if (leases.length > 0) return 'some';
      return contended || (suspects && isIdle) ? 'contended' : 'none';
    } catch (error) {
      if (isDatabaseAway(error)) this.#outage.met(error);
      else this.#log.error({ err: error, msg: 'no work can be claimed' });
      return 'away';
    } finally {
      this.#isClaiming = false;
    }
  }

  /** @returns whether one was taken: it runs when all else that this process holds is done */
  async #claimSuspect(): Promise<boolean> {
    const lease = await this.suspects.claim({
      worker: this.name,
      types: this.types.all().map(({ type, concurrency = null }) => ({ type, limit: concurrency })),
      accountLimit: this.#accountLimit,
      leaseMs: this.#leaseMs,
    });
    if (!lease) {
      this.#solitude.foundNone(performance.now());
      return false;
    }
    this.#solitude.begin(performance.now());
    this.#suspect = this.#execute(lease);
    return true;
  }

  /** What there is room for; null: for nothing. */
  #request(): ClaimRequest | null {
    let places = this.config.WORKER_CONCURRENCY - this.#reservations.places;
    let lanes = LANES;
    for (const executor of this.#executors) {
      places -= executor.demand;
      if (executor.takesLane) lanes -= 1;
    }
    const chunks = Math.min(
      CLAIM_CHUNKS,
      Math.max(HELD_CHUNKS, this.config.WORKER_CONCURRENCY) -
        this.#executors.size -
        this.#reservations.chunks,
    );
    const types = this.types.all().filter((type) => lanes > 0 || !type.transaction);
    if (places <= 0 || chunks <= 0 || types.length === 0) return null;
    return {
      worker: this.name,
      types: types.map((type) => ({
        type: type.type,
        taskPlaces: this.#pace.shareOf(type.type),
        isWhole: takesOnePlace(type),
        takesLane: type.transaction === true,
        atOnce: tasksAtOnce(type, this.config.WORKER_CONCURRENCY),
        limit: type.concurrency ?? null,
      })),
      accountLimit: this.#accountLimit,
      places,
      lanes,
      chunks,
      leaseMs: this.#leaseMs,
    };
  }

  /**
   * Room for all of a new job, to begin with it as soon as it is committed. None while a claim is under way, which may fill all
   * there is, nor where a limit over all processes must be counted, nor for what needs a lane.
   */
  #reserve(job: Submission): EagerStart | null {
    const type = this.types.get(job.type);
    if (!type || type.transaction === true || job.options.start_at) return null;
    if (job.ordered && job.chunks.length > 1) return null;
    if (!this.#isOpen || this.#isClaiming || this.#suspect || this.#solitude.isDue(performance.now()))
      return null;
    const request = this.#request();
    const asked = request?.types.find((each) => each.type === job.type);
    if (!request || !asked || job.chunks.length > request.chunks) return null;
    if (request.accountLimit !== null || asked.limit !== null) return null;
    const places = asked.isWhole ? job.chunks.length : job.total * asked.taskPlaces;
    if (places > request.places) return null;
    const release = this.#reservations.keep(places, job.chunks.length);
    const leaseIds = job.chunks.map(() => randomUUID());
    const slots = job.chunks.map(({ size }) => Math.min(asked.atOnce, size));
    return {
      worker: this.name,
      leaseMs: this.#leaseMs,
      types: request.types.map((each) => each.type),
      leaseIds,
      slots,
      settle: (leased) => {
        const leases = job.chunks.flatMap((chunk, n): Lease[] => {
          const leaseId = leaseIds[n] ?? '';
          const chunkId = leased.get(leaseId);
          return chunkId === undefined ? [] : [firstLease(job, chunk, chunkId, leaseId, slots[n] ?? 1)];
        });
        if (leases.length > 0) chunksClaimed.tell({ leases });
        for (const lease of leases) this.#execute(lease);
        release();
      },
    };
  }

  #tools() {
    return {
      store: this.store,
      suspects: this.suspects,
      lanes: this.lanes,
      places: this.#places,
      pace: this.#pace,
      leaseMs: this.#leaseMs,
      onChange: () => this.poke(),
      isAlone: (chunk: ChunkExecutor) => [...this.#executors].every((other) => other === chunk),
    };
  }

  #execute(lease: Lease): ChunkExecutor | null {
    const type = this.types.get(lease.type);
    if (!type) return null;
    const executor = new ChunkExecutor(lease, type, this.#tools());
    this.#executors.add(executor);
    if (!this.#isOpen) executor.drain();
    void executor.done.then(() => {
      this.#executors.delete(executor);
      if (executor === this.#suspect) {
        this.#suspect = null;
        this.#solitude.end(performance.now());
      }
      this.#places.wake();
      this.poke();
    });
    return executor;
  }

  /** Until someone pokes, or the time is over. */
  #rest(ms: number): Promise<void> {
    if (this.#wasPoked || !this.#isOpen) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#poke = null;
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.#poke = end;
    });
  }
}
