import { Module } from '@nestjs/common';
import { DemoFailHandler, DemoSleepHandler } from './demo.handlers.js';

@Module({ providers: [DemoSleepHandler, DemoFailHandler] })
export class DemoModule {}
