import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from '../../src/app.module.js';
import { refuseAnonymous } from '../../src/auth/anonymous.js';
import { refuseCrossSite } from '../../src/auth/cross-site.js';
import { insertUser, UsersStore } from '../../src/auth/users.store.js';
import { hashPassword } from '../../src/auth/passwords.js';
import { parseConfig, type Config } from '../../src/config/config.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { fastifyAdapter } from '../../src/http/fastify.js';
import type { AnyTaskHandler, TaskHandlerOptions } from '../../src/jobs/task-handler.js';
import { TaskTypes } from '../../src/jobs/task-types.js';
import { OpenApiService } from '../../src/openapi/openapi.service.js';
import { CallbackDeliverer } from '../../src/webhooks/callback.deliverer.js';
import { WorkerService } from '../../src/workers/worker.service.js';
import { watchContract, type WatchedContract } from './contract.js';

export const PASSWORD = 'correct horse';

export interface TestHandler {
  readonly options: TaskHandlerOptions;
  readonly handler: AnyTaskHandler;
}

export interface TestAppOptions {
  /** Variables of the environment. DEMO_TASKS is on unless said otherwise. */
  readonly env?: Readonly<Record<string, string>>;
  readonly handlers?: readonly TestHandler[];
  /** Default 'all'. */
  readonly role?: Config['ROLE'];
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when there is none. */
  readonly body: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- tests look into many shapes
}

export interface TestUser {
  readonly email: string;
  readonly userId: number;
  readonly accountId: number;
}

/**
 * The whole service in this process, listening on a free port of its own. Every answer that it gives is held against its
 * OpenAPI document: one that is not as documented fails the suite when the service is stopped.
 */
export class TestApp {
  private constructor(
    readonly app: NestFastifyApplication,
    readonly origin: string,
    readonly contract: WatchedContract,
  ) {}

  static async start(url: string, options: TestAppOptions = {}): Promise<TestApp> {
    const role = options.role ?? 'all';
    const config = parseConfig({ PORT: '0', DEMO_TASKS: 'true', ROLE: role, ...options.env });
    const adapter = fastifyAdapter(config);
    refuseCrossSite(adapter.getInstance(), config);
    refuseAnonymous(adapter.getInstance());
    const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRoot(config, url), adapter, {
      bodyParser: false,
      abortOnError: false,
      logger: process.env['TALLY_TEST_LOG'] ? ['log', 'warn', 'error'] : false,
    });
    const contract = watchContract(adapter.getInstance(), () => app.get(OpenApiService).text());
    await app.init();
    for (const { options: about, handler } of options.handlers ?? [])
      app.get(TaskTypes).register(about, handler);
    if (role !== 'api') {
      await app.get(WorkerService).start();
      app.get(CallbackDeliverer).start();
    }
    await app.listen(0, '127.0.0.1');
    return new TestApp(app, (await app.getUrl()).replace('[::1]', '127.0.0.1'), contract);
  }

  get prisma(): PrismaService {
    return this.app.get(PrismaService);
  }

  get worker(): WorkerService {
    return this.app.get(WorkerService);
  }

  /** Adds a user, and its account if it is not there; all have the same password. */
  async addUser(
    email = 'agent@example.com',
    account = 'main',
    role: 'admin' | 'agent' = 'agent',
  ): Promise<TestUser> {
    const passwordHash = await (hash ??= hashPassword(PASSWORD));
    await insertUser(this.prisma, { email, account, role, passwordHash });
    const user = await this.prisma.user.findUniqueOrThrow({ where: { email } });
    return { email, userId: user.id, accountId: user.accountId };
  }

  /** A new API token of this user. */
  addToken(user: TestUser): Promise<string> {
    return new UsersStore(this.prisma).createToken(user.email, 'test');
  }

  /** A request as this user; a body that is no string is sent as JSON. */
  async call(
    method: string,
    path: string,
    user: TestUser | null,
    body?: unknown,
    headers: Record<string, string> = {},
  ) {
    const credentials = user && Buffer.from(`${user.email}:${PASSWORD}`).toString('base64');
    const response = await fetch(path.startsWith('http') ? path : this.origin + path, {
      method,
      headers: {
        ...(credentials && { authorization: `Basic ${credentials}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('/json') ?? false;
    const answer: Answer = {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson && text ? (JSON.parse(text) as unknown) : undefined,
    };
    return answer;
  }

  get(path: string, user: TestUser | null, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call('GET', path, user, undefined, headers);
  }

  post(
    path: string,
    user: TestUser | null,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return this.call('POST', path, user, body, headers);
  }

  async stop(): Promise<void> {
    await this.app.getHttpAdapter().getInstance().close();
    await Promise.all([this.app.get(WorkerService).stop(), this.app.get(CallbackDeliverer).stop()]);
    await this.app.close();
    const { problems } = this.contract;
    if (problems.length > 0) throw new Error(`answers that are not as documented:\n${problems.join('\n')}`);
  }
}

let hash: Promise<string> | undefined;
