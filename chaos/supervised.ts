import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Logs } from './logs.js';
import type { Verdict } from './verdict.js';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const RESTART_MS = 500;
/** The drain, a few statements on a busy machine, and the end of a process. */
const STOP_MS = 12_000;

export interface Life {
  /** What it does has begun, or is over: by a signal, or on its own. */
  readonly changed: () => void;
  readonly terminated?: (pid: number, at: number) => void;
  readonly killed?: (pid: number, at: number) => void;
  readonly ended?: (pid: number, at: number) => void;
  /** Whether a process may be late or fail at its start or end, since the database was away in between. */
  readonly isExcused: (from: number, to: number) => boolean;
}

/** A process of the service that is started again whenever it ends, as systemd or Kubernetes would. */
export class Supervised {
  #child: ChildProcess | null = null;
  #isReady = false;
  #isStopped = false;
  #sent: { readonly signal: NodeJS.Signals; readonly at: number } | null = null;
  #restartMs = RESTART_MS;
  #isClosing = false;
  readonly #ended: Promise<void>;

  constructor(
    readonly name: string,
    private readonly env: Readonly<Record<string, string>>,
    /** What it logs when it is ready. */
    private readonly ready: RegExp,
    private readonly logs: Logs,
    private readonly verdict: Verdict,
    private readonly life: Life,
  ) {
    this.#ended = this.#keep();
  }

  /** Whether it has begun its work, and neither was told to stop nor stands still. */
  get isAble(): boolean {
    return this.#isReady && !this.#isStopped && this.#sent === null;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** kill -9, at any moment of its life. @returns whether it lived */
  async kill(restartMs: number): Promise<boolean> {
    const child = this.#send('SIGKILL', restartMs);
    if (!child?.pid) return false;
    await once(child, 'exit');
    this.life.killed?.(child.pid, Date.now());
    return true;
  }

  /** @returns whether it lived and had not been told before */
  terminate(restartMs: number): boolean {
    if (this.#sent || this.#isStopped) return false;
    const wasReady = this.#isReady;
    const child = this.#send('SIGTERM', restartMs);
    if (child?.pid && wasReady) this.life.terminated?.(child.pid, Date.now());
    return child !== null;
  }

  /** Lets it stand still for a while. @returns whether it did */
  async stop(forMs: number): Promise<boolean> {
    const child = this.#child;
    if (!child || !this.isAble) return false;
    this.#isStopped = true;
    child.kill('SIGSTOP');
    this.life.changed();
    await sleep(forMs);
    // Killed meanwhile, this is about another process's life.
    if (child !== this.#child) return true;
    child.kill('SIGCONT');
    this.#isStopped = false;
    this.life.changed();
    return true;
  }

  /** Ends it for good, in good order. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#child?.kill('SIGCONT');
    if (!this.#sent) this.#send('SIGTERM', 0);
    await this.#ended;
  }

  #send(signal: NodeJS.Signals, restartMs: number): ChildProcess | null {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return null;
    this.#sent = { signal, at: Date.now() };
    this.#restartMs = restartMs;
    child.kill(signal);
    this.life.changed();
    return child;
  }

  #isLeft(): boolean {
    return this.#isClosing;
  }

  async #keep(): Promise<void> {
    while (!this.#isLeft()) {
      const begunAt = Date.now();
      const child = this.#spawn();
      this.#child = child;
      const slow = setInterval(() => this.#hurry(child), 1_000);
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      clearInterval(slow);
      this.#judge(begunAt, code, signal);
      if (child.pid) this.life.ended?.(child.pid, Date.now());
      this.#child = null;
      this.#isReady = false;
      this.#isStopped = false;
      this.#sent = null;
      this.life.changed();
      if (!this.#isLeft()) await sleep(this.#restartMs);
      this.#restartMs = RESTART_MS;
    }
  }

  #spawn(): ChildProcess {
    const child = spawn(process.execPath, [MAIN], {
      env: { PATH: process.env['PATH'], ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // In a process group of its own: Ctrl-C reaches the harness alone, which then ends everything in good order.
      detached: true,
    });
    this.verdict.count('processes started');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = this.logs.take(this.name, line);
      if (message === null || !this.ready.test(message)) return;
      this.#isReady = true;
      this.life.changed();
    });
    createInterface({ input: child.stderr }).on('line', (line) => this.logs.takeError(this.name, line));
    return child;
  }

  /** One that does not end after SIGTERM would be missed for the rest of the run. */
  #hurry(child: ChildProcess): void {
    const sent = this.#sent;
    if (sent?.signal !== 'SIGTERM' || Date.now() - sent.at < STOP_MS) return;
    if (this.life.isExcused(sent.at, Date.now()) && Date.now() - sent.at < 4 * STOP_MS) return;
    this.verdict.violation(
      'a process ends soon after SIGTERM',
      `${this.name} still runs after ${STOP_MS} ms or more`,
    );
    child.kill('SIGKILL');
  }

  #judge(begunAt: number, code: number | null, signal: NodeJS.Signals | null): void {
    const sent = this.#sent;
    const how = `${this.name} ended with ${signal ?? code ?? '?'}`;
    if (!sent) {
      if (!this.#isReady && this.life.isExcused(begunAt, Date.now())) this.verdict.count('starts given up');
      else this.verdict.violation('a process ends only when it is told to', how);
    } else if (sent.signal === 'SIGTERM' && signal === null && code !== 0) {
      if (this.life.isExcused(sent.at, Date.now())) this.verdict.count('stops cut short by the database');
      else this.verdict.violation('a process that is told to stop ends with 0', how);
    }
  }
}
