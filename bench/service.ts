import { spawn, type ChildProcess } from 'node:child_process';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/service.js';
import { end } from './processes.js';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const HANDLERS = fileURLToPath(new URL('./handlers', import.meta.url));
export const ADMIN = { email: 'admin@example.com', password: 'bench bench bench' };
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
    readonly port: number,
  ) {}

  /**
   * @param flags of Node, such as one for a profile
   * @param log where its log goes: a file's descriptor
   */
  static async start(
    env: Readonly<Record<string, string>>,
    flags: readonly string[] = (process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter(Boolean),
    log?: number,
  ): Promise<BenchService> {
    const port = await freePort();
    const child = spawn(process.execPath, [...flags, MAIN], {
      env: {
        PATH: process.env['PATH'],
        PORT: String(port),
        HANDLERS,
        DEMO_TASKS: 'true',
        ADMIN_PASSWORD: ADMIN.password,
        MAX_WORKING_JOBS: '100000',
        ...env,
      },
      stdio: ['ignore', log ?? 'ignore', 'inherit'],
    });
    const service = new BenchService(child, port);
    for (let tries = 0; !(await service.#answers()); tries += 1) {
      if (tries > 1_200) throw new Error('the service does not answer');
      await sleep(100);
    }
    return service;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.child.pid!;
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

  /** Submits a job whose tasks are lines. */
  upload(type: string, lines: Buffer): Promise<Status> {
    return this.post(`/api/v2/jobs.json?type=${type}`, 'application/x-ndjson', lines);
  }

  /** A submission by Node's own client, which takes a fraction of the time that `fetch` takes. */
  post(path: string, contentType: string, body: Buffer): Promise<Status> {
    return new Promise((resolve, reject) => {
      const options = {
        method: 'POST',
        headers: {
          authorization: AUTHORIZATION,
          'content-type': contentType,
          'content-length': body.length,
        },
      };
      const sent = request(this.origin + path, options, (response) => {
        let text = '';
        response.on('data', (piece: Buffer) => (text += piece.toString()));
        response.on('end', () => {
          if (response.statusCode === 202) resolve(JSON.parse(text) as Status);
          else reject(new Error(`a submission was refused: ${response.statusCode} ${text}`));
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** Polls until the job has ended. */
  async ended(url: string, everyMs = 20): Promise<Status> {
    for (;;) {
      const status = (await (await this.call('GET', url)).json()) as Status;
      if (status.status !== 'working') return status;
      await sleep(everyMs);
    }
  }

  /** Until no job works any more, as a poll every five milliseconds sees it: one after the other took a third of a core. */
  async idle(): Promise<void> {
    const path = '/api/v2/job_statuses.json?filter[status]=working&page[size]=1';
    for (;;) {
      const { job_statuses: working } = (await (await this.call('GET', path)).json()) as {
        job_statuses: unknown[];
      };
      if (working.length === 0) return;
      await sleep(5);
    }
  }

  /** Polls until the job has so many results. */
  async progressed(url: string, progress: number): Promise<void> {
    while (((await (await this.call('GET', url)).json()) as Status).progress < progress) await sleep(20);
  }

  async stop(): Promise<void> {
    await end(this.child);
  }
}
