import fastifyStatic from '@fastify/static';
import { Inject, Module, type DynamicModule, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { DASHBOARD_FILES, PagesController } from './pages.controller.js';

/** The pages that people see: the files of the dashboard, which a build of its own has made. */
@Module({ controllers: [PagesController] })
export class PagesModule implements OnModuleInit {
  constructor(
    private readonly host: HttpAdapterHost,
    @Inject(DASHBOARD_FILES) private readonly directory: string,
  ) {}

  /** @param directory where index.html is, if the dashboard was built */
  static of(directory: string): DynamicModule {
    return { module: PagesModule, providers: [{ provide: DASHBOARD_FILES, useValue: directory }] };
  }

  /** Only for its sendFile: the routes are the controller's, so that each is known and described. */
  onModuleInit(): void {
    this.host.httpAdapter.getInstance<FastifyInstance>().register(fastifyStatic, {
      root: this.directory,
      serve: false,
      preCompressed: true,
      suppressWarning: true,
      dotfiles: 'deny',
    });
  }
}
