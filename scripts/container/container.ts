import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { execForm, healthCheckOf, lastOf, type Stage } from './dockerfile.js';
import { inside, type Layout, mapped, passedOn } from './layout.js';

const NOBODY = 65_534;
const HEALTHY_MS = 60_000;
const STOP_MS = 30_000;
const OUTPUT_CHARACTERS = 6_000;

/** An exit code, or the name of the signal that ended the process. */
export type ExitCode = number | string;

/** unshare ends with its child, and takes it along when it is killed itself. */
const AS_PROCESS_ONE = [
  'unshare',
  '--pid',
  '--fork',
  '--kill-child',
  `--setgid=${NOBODY}`,
  `--setuid=${NOBODY}`,
  '--',
];

const isRoot = (): boolean => process.getuid?.() === 0;

/** Needs root, and a machine that allows namespaces: inside of another container it may not. */
const canBeProcessOne = (): boolean =>
  isRoot() && spawnSync(AS_PROCESS_ONE[0] ?? '', [...AS_PROCESS_ONE.slice(1), 'true']).status === 0;

async function exitOf(child: ChildProcess): Promise<ExitCode> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode ?? child.signalCode ?? '';
}

/**
 * A process of a stage's CMD, in the stage's folder, as near to its container as this machine allows: as root it runs as
 * `nobody`, to whom nothing belongs, and as process 1 of its own namespace, where a signal without a handler is lost.
 */
export class Container {
  output = '';

  private constructor(
    private readonly stage: Stage,
    private readonly layout: Layout,
    private readonly env: Readonly<Record<string, string>>,
    private readonly child: ChildProcess,
    readonly isProcessOne: boolean,
  ) {
    for (const stream of [child.stdout, child.stderr])
      stream?.on(
        'data',
        (chunk: Buffer) => (this.output = (this.output + chunk.toString()).slice(-OUTPUT_CHARACTERS)),
      );
  }

  /** @param more arguments after those of the Dockerfile */
  static start(
    stage: Stage,
    layout: Layout,
    given: Readonly<Record<string, string>>,
    more: readonly string[] = [],
  ): Container {
    const own = Object.fromEntries(
      Object.entries(layout.env).map(([name, value]) => [name, mapped(value, layout)]),
    );
    const env = { PATH: passedOn()['PATH'] ?? '', HOME: '/tmp', ...own, ...given };
    const command = ['ENTRYPOINT', 'CMD'].flatMap((name) => execForm(lastOf(stage, name)?.text ?? '') ?? []);
    const isProcessOne = canBeProcessOne();
    const [file = '', ...args] = isProcessOne
      ? [...AS_PROCESS_ONE, ...command, ...more]
      : [...command, ...more];
    const child = spawn(file, args, {
      cwd: inside(layout, '.'),
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(!isProcessOne && isRoot() && { uid: NOBODY, gid: NOBODY }),
    });
    return new Container(stage, layout, env, child, isProcessOne);
  }

  /** Runs its HEALTHCHECK once. */
  async check(): Promise<ExitCode> {
    const { command, timeoutSeconds } = healthCheckOf(this.stage);
    const [file = '', ...args] = command;
    const child = spawn(file, args, {
      cwd: inside(this.layout, '.'),
      env: this.env,
      stdio: 'ignore',
      timeout: timeoutSeconds * 1_000,
      ...(isRoot() && { uid: NOBODY, gid: NOBODY }),
    });
    return exitOf(child);
  }

  /** Asks until the health check is content. @throws Error with its output when it ends, or after a minute */
  async healthy(): Promise<void> {
    const deadline = Date.now() + HEALTHY_MS;
    while ((await this.check()) !== 0) {
      if (this.#hasEnded) throw new Error(`it ended before it was healthy:\n${this.output}`);
      if (Date.now() > deadline) throw new Error(`it was not healthy in time:\n${this.output}`);
      await sleep(100);
    }
  }

  /** As `docker stop`: SIGTERM, and SIGKILL when that takes too long. */
  async stop(): Promise<ExitCode> {
    if (this.#hasEnded) return exitOf(this.child);
    process.kill(await this.#pid(), 'SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
    const code = await exitOf(this.child);
    clearTimeout(timer);
    return code;
  }

  /** Waits until it ends by itself. */
  exit(): Promise<ExitCode> {
    return exitOf(this.child);
  }

  get #hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** unshare stays between us and process 1, and would keep the signal. */
  async #pid(): Promise<number> {
    const pid = this.child.pid ?? 0;
    if (!this.isProcessOne) return pid;
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim();
    return Number(children.split(' ')[0]);
  }
}
