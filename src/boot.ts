import 'reflect-metadata';
import { Logger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { AppModule } from './app.module.js';
import { refuseAnonymous } from './auth/anonymous.js';
import { refuseCrossSite } from './auth/cross-site.js';
import { ensureFirstAdmin, type FirstAdmin } from './auth/bootstrap.js';
import { parseConfig, type Config } from './config/config.js';
import { openDatabase, type OpenDatabase } from './database/open-database.js';
import { PrismaService } from './database/prisma.service.js';
import { codeOf } from './database/start-error.js';
import { messageOf, StartError } from './errors.js';
import { loadHandlers } from './handlers/load-handlers.js';
import { fastifyAdapter, serveOnly } from './http/fastify.js';
import { createLoggers } from './logging/logger.js';
import { logRequests } from './logging/request-log.js';
import { CallbackDeliverer } from './webhooks/callback.deliverer.js';
import { WorkerService } from './workers/worker.service.js';

/** The boot: configuration, database, roles; and the way down again. */

const loggers = createLoggers();
Logger.overrideLogger(loggers.nest);
const log = new Logger('Tally');

/** All that a worker answers: it is asked whether it lives and what it does, and nothing else. */
const WORKER_PATHS = ['/healthz', '/readyz', '/metrics'];

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * A signal during the boot: process 1 of a container would not hear it without a listener. An outside database is just
 * left; an embedded one that is being started is stopped again, as soon as it is there.
 */
let early: NodeJS.Signals | null = null;
let onSignal = (signal: NodeJS.Signals): void => {
  if (early !== null || process.env['DATABASE_URL']) process.exit(early === null ? 0 : 130);
  early = signal;
};

async function boot(): Promise<void> {
  // One listener for good: were it taken away for another, a signal that has come and was not delivered yet would be lost.
  for (const signal of SIGNALS) process.on(signal, (name) => onSignal(name));
  const config = parseConfig(process.env);
  const handlers = config.HANDLERS === undefined ? [] : await loadHandlers(config.HANDLERS);
  const database = await openDatabase(config, (line) => log.log(line));
  try {
    const app =
      early === null ? await start(config, AppModule.forRoot(config, database.url, handlers)) : null;
    const stop = stopper(app, database);
    onSignal = (signal) => void stop(signal);
    if (early !== null) await stop(early);
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function start(config: Config, module: DynamicModule): Promise<NestFastifyApplication> {
  const adapter = fastifyAdapter(config);
  logRequests(adapter.getInstance(), loggers.pino);
  if (config.ROLE === 'worker') serveOnly(adapter, WORKER_PATHS);
  else refuseStrangers(adapter.getInstance(), config);
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    bodyParser: false,
    abortOnError: false,
    logger: loggers.nest,
  });
  const admin = await ensureFirstAdmin(app.get(PrismaService), {
    email: config.ADMIN_EMAIL,
    password: config.ADMIN_PASSWORD,
  });
  await app.init();
  if (config.ROLE !== 'api') {
    await app.get(WorkerService).start();
    app.get(CallbackDeliverer).start();
  }
  try {
    await listen(app, config);
  } catch (error) {
    // Its connections would keep the embedded database running.
    await close(app);
    throw error;
  }
  if (admin) printAdmin(admin);
  return app;
}

/** Before a body is read: what another site's page asks, and what nobody knows who asks. */
function refuseStrangers(instance: FastifyInstance, config: Config): void {
  refuseCrossSite(instance, config);
  refuseAnonymous(instance);
}

async function close(app: NestFastifyApplication): Promise<void> {
  await Promise.all([
    app.getHttpAdapter().getInstance().close(),
    app.get(WorkerService).stop(),
    app.get(CallbackDeliverer).stop(),
  ]);
  await app.close();
}

/** The variable that is to blame when an address cannot be listened at, by the code of the error. */
const TO_BLAME: Readonly<Record<string, string>> = {
  EADDRINUSE: 'PORT',
  EACCES: 'PORT',
  EADDRNOTAVAIL: 'HOST',
  EAFNOSUPPORT: 'HOST',
  EAI_AGAIN: 'HOST',
  EINVAL: 'HOST',
  ENOTFOUND: 'HOST',
};

/**
 * Connections that the system keeps until the process takes them; it has a limit of its own (`net.core.somaxconn`, 4,096 on
 * Linux). With Node's 511 a client among 4,000 that came at once had to knock again and again, and waited up to 36 s for a
 * connection.
 */
const BACKLOG = 4_096;

async function listen(app: NestFastifyApplication, config: Config): Promise<void> {
  const isWorker = config.ROLE === 'worker';
  if (isWorker && !config.hasPort) return;
  try {
    await app.listen({ port: config.PORT, host: config.HOST, backlog: BACKLOG });
    const what = isWorker ? 'The worker answers health checks' : 'Tally answers';
    log.log(`${what} at ${config.PUBLIC_URL ?? (await app.getUrl())}`);
  } catch (error) {
    const place = `${config.HOST}:${config.PORT}`;
    const variable = TO_BLAME[codeOf(error)];
    if (variable === undefined) throw error;
    if (!isWorker) throw new StartError(`${variable}: cannot listen at ${place}: ${messageOf(error)}`);
    log.warn(`no health checks are answered: cannot listen at ${place}: ${messageOf(error)}`);
  }
}

/** Once, and on standard output alone: the password is kept nowhere in the clear. */
function printAdmin({ email, account, password }: FirstAdmin): void {
  const lines = [`The first admin of account ${account}:`, `  email:    ${email}`];
  lines.push(password === undefined ? '  password: as ADMIN_PASSWORD says' : `  password: ${password}`);
  if (password !== undefined) lines.push('This password is shown only now.');
  process.stdout.write(`\n${lines.join('\n')}\n\n`);
}

/** SIGTERM and Ctrl-C: no new work, what runs gets its time, then everything is closed. A second signal ends at once. */
function stopper(app: NestFastifyApplication | null, database: OpenDatabase) {
  let isStopping = false;
  return async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) process.exit(130);
    isStopping = true;
    log.log(`${signal}: stopping`);
    try {
      if (app) await close(app);
      await database.close();
      process.exit(0);
    } catch (error) {
      log.error({ err: error, msg: 'the stop failed' });
      process.exit(1);
    }
  };
}

// A promise that a handler left behind must not take the other tasks with it.
process.on('unhandledRejection', (reason) => {
  log.error({ err: reason, msg: 'a promise was rejected and nobody cared' });
});

boot().catch((error: unknown) => {
  if (error instanceof StartError) process.stderr.write(`${error.message}\n`);
  else log.fatal({ err: error, msg: 'Tally could not be started' });
  process.exit(1);
});
