import { Module } from '@nestjs/common';
import { Closing } from './closing.js';
import { Origin } from './origin.js';

@Module({ providers: [Closing, Origin], exports: [Closing, Origin] })
export class HttpToolsModule {}
