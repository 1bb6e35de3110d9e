import { Body, Controller, Delete, Get, Header, HttpCode, Post, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { UNCHALLENGED } from '../http/challenge.js';
import { Operation } from '../http/operation.js';
import { Origin } from '../http/origin.js';
import { readSessionCookie, sessionSetCookie } from '../http/session-cookie.js';
import { parseInput } from '../http/validate.js';
import { Public, unreadable } from './authenticated.guard.js';
import { sessionAnswer, sessionView, signInSchema } from './session.schemas.js';
import { SESSION_SECONDS, SessionsService } from './sessions.service.js';

const content = { 'application/json': sessionAnswer };
const setCookie = z.object({ 'Set-Cookie': z.string() });
const errors = ['Unauthorized', 'Forbidden', 'TooManyRequests', 'Unavailable'] as const;

/** How a browser signs in: for the dashboard. Programs send their credentials with each request. */
@Public()
@Controller('session')
export class SessionController {
  constructor(
    private readonly sessions: SessionsService,
    private readonly origin: Origin,
  ) {}

  @Post()
  @Operation({
    id: 'signIn',
    tag: 'Sessions',
    summary: 'Sign in with email and password',
    body: { content: { 'application/json': signInSchema } },
    answers: {
      200: { description: 'Who is signed in; the cookie lasts for 12 hours', headers: setCookie, content },
    },
    errors: [...errors, 'RecordInvalid'],
    isJson: false,
  })
  @RouteConfig(UNCHALLENGED)
  @HttpCode(200)
  @Header('Cache-Control', 'no-store')
  async begin(
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body() body: unknown,
  ) {
    const before = readSessionCookie(request.headers.cookie);
    const asked = parseInput(signInSchema, body);
    const { token, principal } = await this.sessions.begin(asked, before, request.ip);
    this.#setCookie(request, reply, token, SESSION_SECONDS);
    return sessionView(principal);
  }

  @Get()
  @Operation({
    id: 'showSession',
    tag: 'Sessions',
    summary: 'Who is signed in, by the cookie alone',
    answers: { 200: { description: 'Somebody is', content } },
    errors,
    isJson: false,
  })
  @RouteConfig(UNCHALLENGED)
  @Header('Cache-Control', 'no-store')
  async show(@Req() request: FastifyRequest) {
    const token = readSessionCookie(request.headers.cookie);
    if (token === null) throw unreadable();
    return sessionView(await this.sessions.show(token, request.ip));
  }

  @Delete()
  @Operation({
    id: 'signOut',
    tag: 'Sessions',
    summary: 'Sign out',
    answers: { 204: { description: 'Nobody is signed in here', headers: setCookie } },
    errors: ['Forbidden', 'Unavailable'],
    isJson: false,
  })
  @HttpCode(204)
  async end(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    const token = readSessionCookie(request.headers.cookie);
    if (token !== null) await this.sessions.end(token);
    this.#setCookie(request, reply, '', 0);
  }

  #setCookie(request: FastifyRequest, reply: FastifyReply, token: string, seconds: number): void {
    const isSecure = this.origin.of(request).startsWith('https:');
    void reply.header('Set-Cookie', sessionSetCookie(token, seconds, isSecure));
  }
}
