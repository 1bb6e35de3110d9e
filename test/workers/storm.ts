import type { Lease } from '../../src/workers/lease.sql.js';
import { Solitude } from '../../src/workers/solitude.js';
import { blameOf, isCondemned, partsOf } from '../../src/workers/suspicion.js';
import { LEASE_MS, positionsOf, recorded, successor, type TestEngine } from '../support/engine.js';

/**
 * Two workers in made-up time on a real database: they claim, run tasks of 20 ms, record, and are started again when they die,
 * of a kill that comes at random or of a task that kills its process. On a busy machine, as here, a statement takes three
 * times as long as a task: of a task that runs alone, most of the time goes by between the note that it does and its record.
 */

const TASK_MS = 20;
const STATEMENT_MS = 60;
const PLACES = 20;
const FLUSH_MS = 250;
const LOST_AFTER_MS = 2_000;
const START_MS = 300;
const LOOK_MS = 100;

export interface Weather {
  /** Kills to come. */
  readonly kills: number;
  /** Between two kills, at most. */
  readonly everyMs: number;
  readonly seed: number;
  readonly tasks: number;
  /** Positions of tasks that kill their process each time they run. */
  readonly poison?: readonly number[];
}

/** Numbers in [0, 1), the same in every run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A life yields for how long it does something, and `crashed` where a task kills it. */
type Life = AsyncGenerator<number | 'crashed', void>;

class Storm {
  nowMs = 0;
  kills = 0;
  /** Positions of the tasks that have their failure. */
  readonly blamed: number[] = [];
  /** Times that each of the tasks that kill their process has done so, by job and position. */
  readonly crashes = new Map<string, number>();
  readonly #events: { atMs: number; happens: () => Promise<void> }[] = [];
  readonly #lives: (Life | null)[] = [null, null];
  readonly #names: string[] = ['', ''];
  readonly #random: () => number;
  readonly #poison: ReadonlySet<number>;
  #born = 0;
  #job = '';
  /** Something may have ended since the last look. */
  #isIdle = false;
  #calmSinceMs = Infinity;

  constructor(
    private readonly engine: TestEngine,
    private readonly weather: Weather,
  ) {
    this.#random = numbers(weather.seed);
    this.#poison = new Set(weather.poison);
  }

  async pass(): Promise<this> {
    this.#job = await this.engine.submit(this.weather.tasks);
    for (const slot of this.#lives.keys()) this.#in(0, () => this.#start(slot));
    if (this.weather.kills > 0) this.#in(this.#gap(), () => this.#kill());
    while (!(await this.#isOver())) {
      this.#events.sort((a, b) => a.atMs - b.atMs);
      const next = this.#events.shift()!;
      this.nowMs = next.atMs;
      await next.happens();
    }
    return this;
  }

  /** The job has ended, or there was the last kill and its worker's leases have run out. */
  async #isOver(): Promise<boolean> {
    const isPoisoned = this.#poison.size > 0;
    if (!isPoisoned && this.nowMs > this.#calmSinceMs + 2 * LOST_AFTER_MS) return true;
    if (!this.#isIdle) return false;
    this.#isIdle = false;
    const { rows } = await this.engine.sql.query(
      'SELECT FROM job_statuses WHERE id = $1 AND finished_at IS NULL',
      [this.#job],
    );
    if (rows.length > 0) return false;
    if (this.kills >= this.weather.kills) return true;
    // More of the same, until there was the last kill.
    this.#job = await this.engine.submit(this.weather.tasks);
    return false;
  }

  #in(ms: number, happens: () => Promise<void>): void {
    this.#events.push({ atMs: this.nowMs + ms, happens });
  }

  #gap(): number {
    return TASK_MS + this.#random() * this.weather.everyMs;
  }

  async #start(slot: number): Promise<void> {
    this.#born += 1;
    this.#names[slot] = `host:${this.#born}:worker`;
    this.#lives[slot] = this.#live(this.#names[slot]);
    await this.#goOn(slot, this.#lives[slot]);
  }

  async #goOn(slot: number, life: Life): Promise<void> {
    if (this.#lives[slot] !== life) return;
    const { value } = await life.next();
    if (value === 'crashed') this.#die(slot);
    else if (typeof value === 'number') this.#in(value, () => this.#goOn(slot, life));
  }

  async #kill(): Promise<void> {
    const alive = [...this.#lives.keys()].filter((slot) => this.#lives[slot] !== null);
    if (alive.length > 0) {
      this.kills += 1;
      this.#die(alive[Math.floor(this.#random() * alive.length)]!);
    }
    if (this.kills < this.weather.kills) this.#in(this.#gap(), () => this.#kill());
    else this.#calmSinceMs = this.nowMs;
    await Promise.resolve();
  }

  #die(slot: number): void {
    const name = this.#names[slot]!;
    this.#lives[slot] = null;
    this.#in(START_MS, () => this.#start(slot));
    this.#in(LOST_AFTER_MS, async () => {
      await this.engine.sql.query(
        "UPDATE task_chunks SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE worker = $1",
        [name],
      );
      await this.engine.chunks.rescue();
    });
  }

  /** What a worker does all its life. */
  async *#live(worker: string): Life {
    const solitude = new Solitude();
    for (;;) {
      if (solitude.isDue(this.nowMs)) {
        yield STATEMENT_MS;
        const lease = await this.engine.claimSuspect(false, null, worker);
        if (!lease) solitude.foundNone(this.nowMs);
        else {
          solitude.begin(this.nowMs);
          yield* this.#runAlone(lease);
          solitude.end(this.nowMs);
          continue;
        }
      }
      yield STATEMENT_MS;
      const { leases, suspects } = await this.engine.look({ worker, places: PLACES, chunks: 2 });
      solitude.learn(suspects, leases.length === 0);
      if (leases.length === 0) {
        this.#isIdle = true;
        yield LOOK_MS;
      }
      for (const lease of leases) yield* this.#run(lease);
    }
  }

  /** These tasks have been begun. */
  async *#touch({ jobId }: Lease, positions: readonly number[]): Life {
    const poison = positions.filter((position) => this.#poison.has(position));
    if (poison.length === 0) return;
    for (const position of poison) {
      const key = `${jobId}:${position}`;
      this.crashes.set(key, (this.crashes.get(key) ?? 0) + 1);
    }
    yield await Promise.resolve('crashed' as const);
  }

  async *#runAlone(lease: Lease): Life {
    const [position] = positionsOf(lease);
    yield STATEMENT_MS;
    if (isCondemned(lease)) {
      this.blamed.push(position!);
      await this.engine.chunks.finish(lease, recorded([], [position!]), []);
      return;
    }
    await this.engine.suspects.isolate(lease);
    yield TASK_MS;
    yield* this.#touch(lease, [position!]);
    yield STATEMENT_MS;
    await this.engine.chunks.finish(lease, recorded([position!]), []);
    if (blameOf(lease) === 0) return;
    yield STATEMENT_MS;
    await this.engine.suspects.pardon();
  }

  async *#run(claimed: Lease): Life {
    const done =
      claimed.recorded > 0 ? await this.engine.chunks.recordedPositions(claimed) : new Set<number>();
    let lease = claimed;
    let open = positionsOf(lease).filter((position) => !done.has(position));
    if (lease.suspect) {
      yield STATEMENT_MS;
      const [first = [], ...others] = partsOf(open);
      const kept = await this.engine.chunks.finish(lease, recorded([]), [
        successor(first, { suspect: true, ...(first.length > 1 && { keepsLease: true }) }),
        ...others.map((part) => successor(part, { suspect: true })),
      ]);
      if (kept === null) return;
      lease = { ...lease, chunkId: kept };
      open = first;
    }
    // The first result of a suspect is recorded at once.
    let flushInMs = lease.suspect ? TASK_MS : FLUSH_MS;
    for (let ran = PLACES; ran < open.length; ran += PLACES) {
      yield TASK_MS;
      yield* this.#touch(lease, open.slice(ran - PLACES, ran));
      flushInMs -= TASK_MS;
      if (flushInMs > 0) continue;
      yield STATEMENT_MS;
      await this.engine.chunks.flush(lease, recorded(open.slice(0, ran)), LEASE_MS);
      open = open.slice(ran);
      [ran, flushInMs] = [0, FLUSH_MS];
    }
    yield TASK_MS;
    yield* this.#touch(lease, open.slice(-PLACES));
    yield STATEMENT_MS;
    await this.engine.chunks.finish(lease, recorded(open), []);
  }
}

/** @returns what came of it, when all kills were made and what they may lead to has come */
export const weather = (engine: TestEngine, what: Weather): Promise<Storm> => new Storm(engine, what).pass();
