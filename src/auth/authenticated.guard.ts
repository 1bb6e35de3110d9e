import { createParamDecorator, Injectable, SetMetadata, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AuthGuard } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { DomainError } from '../errors.js';
import { readBasic, readBearer, type Presented } from './authorization-header.js';
import { CredentialsService, sessionKey } from './credentials.service.js';
import type { Principal } from './principal.js';
import { SCHEMES } from './strategies.js';

interface AuthenticatedRequest extends FastifyRequest {
  presented?: Presented;
  principal?: Principal;
  /** Asks again whose the credentials are. A function, which no log prints. */
  verify?: () => Promise<Principal>;
}

/**
 * Whether the credentials of a request that passed the guard are still right, for an answer that goes on for hours. What is revoked
 * stops within a minute here as well. While the database is away, nobody is sent away.
 */
export async function isStillAllowed(request: FastifyRequest): Promise<boolean> {
  try {
    await (request as AuthenticatedRequest).verify?.();
    return true;
  } catch (error) {
    return !(error instanceof DomainError && error.word === 'Unauthorized');
  }
}

export const PUBLIC = 'tally:public';

/** Lets a route, or every route of a controller, answer without credentials. */
export const Public = () => SetMetadata(PUBLIC, true);

/** The Principal behind a request that passed the guard. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const principal = principalOf(context.switchToHttp().getRequest<FastifyRequest>());
  if (!principal) throw new Error('@Caller() on a route that is @Public()');
  return principal;
});

/** @returns null before the guard has run, and on a public route */
export function principalOf(request: FastifyRequest): Principal | null {
  return (request as AuthenticatedRequest).principal ?? null;
}

/**
 * Lets a request in whose header was verified within the last minute.
 * @returns whose it is; null: that has to be found out
 */
function admit(request: AuthenticatedRequest, credentials: CredentialsService): Principal | null {
  const { authorization } = request.headers;
  const principal = authorization === undefined ? null : credentials.remembered(authorization);
  if (!principal) return null;
  request.principal = principal;
  request.verify = () => verifyHeader(request, credentials);
  return principal;
}

function verifyHeader(
  { headers, ip }: AuthenticatedRequest,
  credentials: CredentialsService,
): Promise<Principal> {
  const authorization = headers.authorization ?? '';
  const presented = readBasic(authorization) ?? readBearer(authorization);
  if (!presented) throw unreadable();
  return credentials.verify(authorization, presented, ip);
}

/**
 * Stands before every route. passport reads what the request presents, CredentialsService says whose it is. A header that it
 * remembers is not read again, and its request waits for nothing.
 */
@Injectable()
export class AuthenticatedGuard extends AuthGuard(SCHEMES) {
  /** By handler: what its decorators say does not change. */
  readonly #public = new WeakMap<object, boolean>();

  constructor(
    private readonly reflector: Reflector,
    private readonly credentials: CredentialsService,
  ) {
    super();
  }

  /** @throws DomainError Unauthorized, TooManyRequests */
  override canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.#isPublic(context)) return true;
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    return admit(request, this.credentials) !== null || this.#verify(context, request);
  }

  #isPublic(context: ExecutionContext): boolean {
    const handler = context.getHandler();
    const known = this.#public.get(handler);
    if (known !== undefined) return known;
    const decorated = [handler, context.getClass()];
    const isPublic = this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC, decorated) ?? false;
    this.#public.set(handler, isPublic);
    return isPublic;
  }

  async #verify(context: ExecutionContext, request: AuthenticatedRequest): Promise<boolean> {
    await super.canActivate(context);
    const { presented } = request;
    if (!presented) throw unreadable();
    // The secret stays no longer than needed on an object that may be logged.
    delete request.presented;
    const key =
      presented.kind === 'session' ? sessionKey(presented.token) : (request.headers.authorization ?? '');
    const verify = () => this.credentials.verify(key, presented, request.ip);
    request.principal = await verify();
    request.verify = verify;
    return true;
  }

  /** Where passport leaves what it has read; the name that it has by default is `user`. */
  override getAuthenticateOptions() {
    return { property: 'presented' };
  }

  override handleRequest<T>(error: unknown, presented: T | false | null | undefined): T {
    if (error instanceof Error) throw error;
    if (!presented) throw unreadable();
    return presented;
  }
}

export const unreadable = (): DomainError =>
  new DomainError(
    'Unauthorized',
    'Expected credentials: HTTP Basic with email:password or email/token:API_TOKEN, a Bearer API token, or a session',
  );
