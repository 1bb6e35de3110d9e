import 'reflect-metadata';
import { Controller, Get, Header, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';

/** What Nest on Fastify can answer at most: a constant text of the length that is asked for, and nothing else. */

const body = JSON.stringify({ results: 'x'.repeat(Number(process.argv[3]) - 14) });

@Controller('constant')
class ConstantController {
  @Get()
  @Header('Content-Type', 'application/json; charset=utf-8')
  answer(): string {
    return body;
  }
}

@Module({ controllers: [ConstantController] })
class ConstantModule {}

const app = await NestFactory.create<NestFastifyApplication>(ConstantModule, new FastifyAdapter(), {
  logger: false,
});
await app.listen(Number(process.argv[2]), '127.0.0.1');
process.stdout.write('ready\n');
