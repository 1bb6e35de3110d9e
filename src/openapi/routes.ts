import { RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { MetadataScanner, Reflector, type DiscoveryService } from '@nestjs/core';
import { PUBLIC } from '../auth/authenticated.guard.js';
import { OPERATION, type OperationDescription } from '../http/operation.js';

/** A route of the service, and what it says of itself. */
export interface DescribedRoute {
  /** As a document writes it: `/api/v2/jobs/{id}.json`. */
  readonly path: string;
  readonly method: 'get' | 'put' | 'post' | 'delete' | 'patch';
  /** Whether it answers without credentials. */
  readonly isPublic: boolean;
  readonly operation: OperationDescription;
}

/**
 * Every route of every controller.
 * @throws Error a route without `@Operation`: a document that lacks it would not be complete
 */
export function describedRoutes(discovery: DiscoveryService): DescribedRoute[] {
  const scanner = new MetadataScanner();
  return discovery.getControllers().flatMap(({ metatype }) => {
    if (typeof metatype !== 'function') return [];
    const controller = metatype as Type;
    return scanner
      .getAllMethodNames(controller.prototype as object)
      .flatMap((name) => routeOf(controller, name) ?? []);
  });
}

function routeOf(controller: Type, name: string): DescribedRoute | null {
  const handler = (controller.prototype as Record<string, () => void>)[name];
  if (!handler) return null;
  const path = Reflect.getMetadata(PATH_METADATA, handler) as string | undefined;
  if (path === undefined) return null;
  const base = Reflect.getMetadata(PATH_METADATA, controller) as string;
  const reflector = new Reflector();
  const operation = reflector.get<OperationDescription | undefined>(OPERATION, handler);
  if (!operation) throw new Error(`${controller.name}.${name} has no @Operation`);
  const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod];
  const segments = `${base}/${path}`.split('/').filter((segment) => segment !== '');
  const written = segments.map((segment) => segment.replace(/^:(.*)$/, '{$1}')).join('/');
  return {
    path: `/${written}${(operation.isJson ?? true) ? '.json' : ''}`,
    method: method.toLowerCase() as DescribedRoute['method'],
    isPublic: reflector.getAllAndOverride<boolean | undefined>(PUBLIC, [handler, controller]) === true,
    operation,
  };
}
