import { Module } from '@nestjs/common';
import { HttpToolsModule } from '../http/http-tools.module.js';
import { JobsModule } from '../jobs/jobs.module.js';
import { TicketsController } from './tickets.controller.js';
import { CreateTicketsHandler, DeleteTicketsHandler, UpdateTicketsHandler } from './tickets.handlers.js';
import { TicketsService } from './tickets.service.js';
import { TicketsStore } from './tickets.store.js';

@Module({
  imports: [JobsModule, HttpToolsModule],
  controllers: [TicketsController],
  providers: [TicketsStore, TicketsService, CreateTicketsHandler, UpdateTicketsHandler, DeleteTicketsHandler],
})
export class TicketsModule {}
