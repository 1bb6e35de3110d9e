import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { fileURLToPath } from 'node:url';
import { AuthModule } from './auth/auth.module.js';
import type { Config } from './config/config.js';
import { DatabaseModule } from './database/database.module.js';
import { DemoModule } from './demo/demo.module.js';
import { HandlersModule } from './handlers/handlers.module.js';
import { HealthModule } from './health/health.module.js';
import { ErrorFilter } from './http/error.filter.js';
import type { TaskHandlerClass } from './jobs/task-handler.js';
import { OpenApiModule } from './openapi/openapi.module.js';
import { JobsModule } from './jobs/jobs.module.js';
import { PagesModule } from './pages/pages.module.js';
import { TicketsModule } from './tickets/tickets.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';
import { WorkersModule } from './workers/workers.module.js';
import { ConfigModule } from './config/config.module.js';

/** Where the build puts the dashboard, seen from dist/ as well as from src/. */
const DASHBOARD = fileURLToPath(new URL('../dist/dashboard/', import.meta.url));

/** The composition root: the only file that knows every room. */
@Module({})
export class AppModule {
  /**
   * @param databaseUrl of a migrated database
   * @param handlers of the operator, beside the built-in ones
   */
  static forRoot(
    config: Config,
    databaseUrl: string,
    handlers: readonly TaskHandlerClass[] = [],
  ): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.of(config),
        DatabaseModule.at(databaseUrl),
        AuthModule,
        JobsModule,
        WorkersModule,
        WebhooksModule,
        TicketsModule,
        DemoModule,
        HandlersModule.of(handlers),
        HealthModule,
        MetricsModule,
        OpenApiModule,
        PagesModule.of(DASHBOARD),
      ],
      providers: [{ provide: APP_FILTER, useClass: ErrorFilter }],
    };
  }
}
