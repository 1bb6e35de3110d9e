import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { ensureFirstAdmin, type FirstAdmin } from './auth/bootstrap.js';
import { ConfigError, parseConfig, type Config } from './config/config.js';
import { openDatabase, type OpenDatabase } from './database/open-database.js';
import { PrismaService } from './database/prisma.service.js';
import { DatabaseStartError } from './database/start-error.js';
import { fastifyAdapter } from './http/fastify.js';
import { WorkerService } from './workers/worker.service.js';

/** The boot: configuration, database, roles; and the way down again. */

const log = new Logger('Tally');

async function boot(): Promise<void> {
  const config = parseConfig(process.env);
  const database = await openDatabase(config, (line) => log.log(line));
  try {
    const app = await start(config, database.url);
    stopOnSignal(app, config, database);
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function start(config: Config, databaseUrl: string): Promise<NestFastifyApplication> {
  const adapter = fastifyAdapter(config.MAX_BODY_BYTES);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(config, databaseUrl),
    adapter,
    {
      bodyParser: false,
      abortOnError: false,
      logger: ['log', 'warn', 'error', 'fatal'],
    },
  );
  const admin = await ensureFirstAdmin(app.get(PrismaService), {
    email: config.ADMIN_EMAIL,
    password: config.ADMIN_PASSWORD,
  });
  await app.init();
  if (config.ROLE !== 'api') await app.get(WorkerService).start();
  if (config.ROLE !== 'worker') {
    await app.listen(config.PORT, config.HOST);
    log.log(`Tally answers at ${config.PUBLIC_URL ?? (await app.getUrl())}`);
  }
  if (admin) printAdmin(admin);
  return app;
}

/** Once, and on standard output alone: the password is kept nowhere in the clear. */
function printAdmin({ email, account, password }: FirstAdmin): void {
  const lines = [`The first admin of account ${account}:`, `  email:    ${email}`];
  lines.push(password === undefined ? '  password: as ADMIN_PASSWORD says' : `  password: ${password}`);
  if (password !== undefined) lines.push('This password is shown only now.');
  process.stdout.write(`\n${lines.join('\n')}\n\n`);
}

/** SIGTERM and Ctrl-C: no new work, what runs gets its time, then everything is closed. A second signal ends at once. */
function stopOnSignal(app: NestFastifyApplication, config: Config, database: OpenDatabase): void {
  let isStopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) process.exit(130);
    isStopping = true;
    log.log(`${signal}: stopping`);
    try {
      const http = config.ROLE === 'worker' ? Promise.resolve() : app.getHttpAdapter().getInstance().close();
      await Promise.all([http, app.get(WorkerService).stop()]);
      await app.close();
      await database.close();
      process.exit(0);
    } catch (error) {
      log.error('the stop failed', error instanceof Error ? error.stack : String(error));
      process.exit(1);
    }
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, (name) => void stop(name));
}

// A promise that a handler left behind must not take the other tasks with it.
process.on('unhandledRejection', (reason) => {
  log.error(
    'a promise was rejected and nobody cared',
    reason instanceof Error ? reason.stack : String(reason),
  );
});

boot().catch((error: unknown) => {
  const isExpected = error instanceof ConfigError || error instanceof DatabaseStartError;
  if (isExpected) process.stderr.write(`${error.message}\n`);
  else log.fatal('Tally could not be started', error instanceof Error ? error.stack : String(error));
  process.exit(1);
});
