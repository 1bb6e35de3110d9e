import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { ApiContract, type ApiDocument } from './contract.js';
import { waitFor } from './wait-for.js';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export const ADMIN = { email: 'admin@example.com', password: 'correct horse' };

const AUTHORIZATION = `Basic ${Buffer.from(`${ADMIN.email}:${ADMIN.password}`).toString('base64')}`;

/**
 * The service as a process of its own: `node dist/main.js`, as `npm start` runs it. Each answer that it is asked for here is held
 * against the OpenAPI document that it gives of itself.
 */
export class Service {
  output = '';
  #contract: ApiContract | undefined;

  private constructor(
    readonly child: ChildProcess,
    readonly origin: string,
  ) {
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data: Buffer) => (this.output += data.toString()));
  }

  /** Starts it; with a port it also waits until it answers. */
  static async start(env: Readonly<Record<string, string>>): Promise<Service> {
    const service = await Service.spawn(env);
    if (env['ROLE'] === 'worker') {
      await waitFor(() => service.output.includes('health checks'), {
        timeoutMs: 20_000,
        what: 'the worker to start',
      });
      return service;
    }
    await waitFor(async () => (await fetch(`${service.origin}/readyz`)).ok, {
      timeoutMs: 20_000,
      what: 'the service to answer',
    });
    return service;
  }

  /** Starts it and waits for nothing. */
  static async spawn(env: Readonly<Record<string, string>>): Promise<Service> {
    const port = env['PORT'] ?? String(await freePort());
    const child = spawn(process.execPath, [MAIN], {
      env: {
        PATH: process.env['PATH'],
        PORT: port,
        DEMO_TASKS: 'true',
        ADMIN_PASSWORD: ADMIN.password,
        LEASE_SECONDS: '2',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new Service(child, `http://127.0.0.1:${port}`);
  }

  /** @returns the exit code, or the name of the signal that ended it */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode ?? '';
    const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
    child.kill(signal);
    const [code, by] = await exit;
    return code ?? by ?? '';
  }

  async exit(): Promise<number | string> {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode ?? child.signalCode ?? '';
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into many shapes
  async json(method: string, path: string, body?: unknown): Promise<any> {
    const response = await this.fetch(path, {
      method,
      headers: {
        authorization: AUTHORIZATION,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return response.json();
  }

  /** @throws Error an answer that is not as documented */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(path, this.origin);
    this.#contract ??= new ApiContract(
      (await (await fetch(`${this.origin}/openapi.json`)).json()) as ApiDocument,
    );
    const response = await fetch(url, init);
    const problem = this.#contract.problemOf({
      method: init.method ?? 'GET',
      route: this.#contract.routeOf(url.pathname),
      status: response.status,
      header: (name) => response.headers.get(name) ?? undefined,
      body: await response.clone().text(),
    });
    if (problem !== null) throw new Error(`${init.method ?? 'GET'} ${path} → ${response.status}: ${problem}`);
    return response;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
