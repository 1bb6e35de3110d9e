import type { LoggerService } from '@nestjs/common';
import { Logger, PinoLogger } from 'nestjs-pino';
import { pino, type BaseLogger } from 'pino';
import pretty from 'pino-pretty';

export type PinoRoot = BaseLogger & { isLevelEnabled(level: string): boolean };

export interface Loggers {
  readonly pino: PinoRoot;
  /** The same, as Nest's own Logger speaks to it. */
  readonly nest: LoggerService;
}

/**
 * One JSON object a line on standard output; readable lines where that is a terminal. Requests are logged by request-log.ts,
 * not by pino-http, whose middleware and child logger a request every poll would pay for.
 */
export function createLoggers(): Loggers {
  const options = { base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime };
  const root = process.stdout.isTTY
    ? pino(options, pretty({ ignore: 'pid', translateTime: 'SYS:HH:MM:ss', singleLine: true }))
    : pino(options);
  const params = { pinoHttp: { logger: root } };
  return { pino: root, nest: new ServiceLogger(new PinoLogger(params), params) };
}

/** What Nest tells of its own start: a line a module and a route. */
const FRAMEWORK = new Set([
  'NestFactory',
  'NestApplication',
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
]);

class ServiceLogger extends Logger {
  override log(message: unknown, ...more: unknown[]): void {
    if (!FRAMEWORK.has(String(more.at(-1)))) super.log(message, ...more);
  }
}
