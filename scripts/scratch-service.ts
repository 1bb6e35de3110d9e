import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findPostmaster } from '../src/database/embedded/postmaster.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const START_MS = 60_000;
const STOP_MS = 30_000;
const LOG_CHARACTERS = 4_000;

/** What a process needs to run at all. Settings of the service that happen to be exported must not change what it does. */
const PASSED_ON = ['PATH', 'HOME', 'USER', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot', 'LANG', 'LC_ALL'];

/** The built service in a process of its own, with a database of its own in a folder that goes with it. */
export class ScratchService {
  readonly email = 'admin@example.com';
  #log = '';

  private constructor(
    readonly origin: string,
    readonly password: string,
    private readonly folder: string,
    private readonly child: ChildProcess,
  ) {
    for (const stream of [child.stdout, child.stderr])
      stream?.on(
        'data',
        (chunk: Buffer) => (this.#log = (this.#log + chunk.toString()).slice(-LOG_CHARACTERS)),
      );
  }

  /** Starts it; it cannot be called before `ready`. */
  static async start(): Promise<ScratchService> {
    const port = await freePort();
    const password = randomBytes(12).toString('base64url');
    const folder = await mkdtemp(join(tmpdir(), 'tally-scratch-'));
    const passedOn = PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []));
    const child = spawn(process.execPath, [join(ROOT, 'dist/main.js')], {
      cwd: ROOT,
      env: {
        ...(Object.fromEntries(passedOn) as NodeJS.ProcessEnv),
        PORT: String(port),
        DATA_DIR: folder,
        ADMIN_PASSWORD: password,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      // In a process group of its own: Ctrl-C reaches the script alone, which then stops the service in good order.
      detached: true,
    });
    return new ScratchService(`http://127.0.0.1:${port}`, password, folder, child);
  }

  /** What the service has logged last. */
  get log(): string {
    return this.#log;
  }

  /** Waits until it lives and has its database. @throws Error when it has ended, or is not ready in a minute */
  async ready(signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + START_MS;
    while (!((await this.#answers('/healthz', signal)) && (await this.#answers('/readyz', signal)))) {
      if (this.#hasEnded) throw new Error('the service ended before it was ready');
      if (Date.now() > deadline) throw new Error(`the service was not ready within ${START_MS / 1_000} s`);
      await sleep(50, undefined, { signal });
    }
  }

  /**
   * Stops it by SIGTERM and removes its folder; safe to call when it has ended already.
   * @returns its exit code; null when it had to be killed
   */
  async stop(): Promise<number | null> {
    if (!this.#hasEnded) {
      const ended = once(this.child, 'exit');
      const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
      this.child.kill('SIGTERM');
      await ended;
      clearTimeout(timer);
    }
    // Only a service that was killed leaves its Postgres behind.
    const postmaster = await findPostmaster(join(this.folder, 'postgres')).catch(() => undefined);
    if (postmaster) process.kill(postmaster.pid, 'SIGQUIT');
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    return this.child.exitCode;
  }

  get #hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async #answers(path: string, signal: AbortSignal): Promise<boolean> {
    try {
      return (await fetch(this.origin + path, { signal })).ok;
    } catch (error) {
      if (signal.aborted) throw error;
      return false;
    }
  }
}

/** A port that nobody listens on: the system picks it, and it is given back at once. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
