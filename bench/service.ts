import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/service.js';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const ADMIN = { email: 'admin@example.com', password: 'bench bench bench' };
export const AUTHORIZATION = `Basic ${Buffer.from(`${ADMIN.email}:${ADMIN.password}`).toString('base64')}`;

export interface Status {
  readonly id: string;
  readonly url: string;
  readonly status: string;
  readonly total: number;
  readonly progress: number;
}

/** The built service as a process of its own, as it runs in production. */
export class BenchService {
  private constructor(
    readonly child: ChildProcess,
    readonly origin: string,
  ) {}

  /**
   * @param log where its log goes: a file's descriptor
   * @param main the entry of the build to measure
   */
  static async start(
    env: Readonly<Record<string, string>>,
    { log, main = MAIN }: { log?: number; main?: string } = {},
  ): Promise<BenchService> {
    const port = await freePort();
    const child = spawn(process.execPath, [main], {
      env: {
        PATH: process.env['PATH'],
        PORT: String(port),
        DEMO_TASKS: 'true',
        ADMIN_PASSWORD: ADMIN.password,
        MAX_WORKING_JOBS: '100000',
        ...env,
      },
      stdio: ['ignore', log ?? 'ignore', 'inherit'],
    });
    const service = new BenchService(child, `http://127.0.0.1:${port}`);
    for (let tries = 0; !(await service.#answers()); tries += 1) {
      if (tries > 300) throw new Error('the service does not answer');
      await sleep(100);
    }
    return service;
  }

  async #answers(): Promise<boolean> {
    try {
      return (await fetch(`${this.origin}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  async call(method: string, path: string, body?: string): Promise<Response> {
    const response = await fetch(path.startsWith('http') ? path : this.origin + path, {
      method,
      headers: {
        authorization: AUTHORIZATION,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  async submit(body: string): Promise<Status> {
    return (await this.call('POST', '/api/v2/jobs.json', body)).json() as Promise<Status>;
  }

  /** Polls until the job has ended. */
  async ended(url: string, everyMs = 20): Promise<Status> {
    for (;;) {
      const status = (await (await this.call('GET', url)).json()) as Status;
      if (status.status !== 'working') return status;
      await sleep(everyMs);
    }
  }

  async stop(): Promise<void> {
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
  }
}
