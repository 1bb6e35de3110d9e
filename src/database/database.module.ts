import { Module, type DynamicModule } from '@nestjs/common';
import { LaneService } from './lane.service.js';
import { PoolShares } from './pool-shares.js';
import { DATABASE_URL, PrismaService } from './prisma.service.js';

/** Hands out the connections to the database that the boot has opened and migrated. */
@Module({})
export class DatabaseModule {
  static at(url: string): DynamicModule {
    return {
      module: DatabaseModule,
      global: true,
      providers: [{ provide: DATABASE_URL, useValue: url }, PrismaService, LaneService, PoolShares],
      exports: [DATABASE_URL, PrismaService, LaneService, PoolShares],
    };
  }
}
