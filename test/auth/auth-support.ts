import { Controller, Get, Global, Module, type DynamicModule } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { AuthModule } from '../../src/auth/auth.module.js';
import { ConfigModule } from '../../src/config/config.module.js';
import { parseConfig } from '../../src/config/config.js';
import { Caller, Public } from '../../src/auth/authenticated.guard.js';
import type { Principal } from '../../src/auth/principal.js';
import { PrismaService } from '../../src/database/prisma.service.js';
import { ErrorFilter } from '../../src/http/error.filter.js';

/** A clock that stands still until a test turns it. */
export class TestClock {
  #now = 1_000_000;

  now(): number {
    return this.#now;
  }

  turn(ms: number): void {
    this.#now += ms;
  }
}

export const basic = (name: string, secret: string): string =>
  `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`;

@Controller()
class WhoController {
  @Get('who')
  who(@Caller() caller: Principal): Principal {
    return caller;
  }

  @Public()
  @Get('open')
  open(): string {
    return 'open';
  }
}

@Global()
@Module({})
class TestDatabaseModule {
  static of(prisma: PrismaService): DynamicModule {
    return {
      module: TestDatabaseModule,
      providers: [{ provide: PrismaService, useValue: prisma }],
      exports: [PrismaService],
    };
  }
}

export interface AuthApp {
  get(path: string, authorization?: string): Promise<Response>;
  close(): Promise<void>;
}

/**
 * An app of two routes behind the guard: `/who` answers with the caller, `/open` is public. Closes `prisma` with itself.
 * It listens, since Fastify's inject() needs a package that Jest cannot require before Node 24.9.
 */
export async function startAuthApp(prisma: PrismaService): Promise<AuthApp> {
  const module = await Test.createTestingModule({
    imports: [ConfigModule.of(parseConfig({})), TestDatabaseModule.of(prisma), AuthModule],
    controllers: [WhoController],
  }).compile();
  const app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
  app.useLogger(false);
  app.useGlobalFilters(new ErrorFilter());
  await app.listen(0, '127.0.0.1');
  const origin = await app.getUrl();
  return {
    get: (path, authorization) =>
      fetch(origin + path, { headers: authorization === undefined ? {} : { authorization } }),
    close: () => app.close(),
  };
}
