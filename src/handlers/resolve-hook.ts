import type { InitializeHook, ResolveHook } from 'node:module';

/**
 * Runs in the loader's own thread (node:module register). Handlers live anywhere, so what they import by name is looked for
 * beside them first and then beside the service: `zod` needs no second copy, and `tally` is always this very package.
 */

interface Places {
  /** URL of the handlers' directory, with a slash at its end. */
  readonly handlers: string;
  /** URL of a module of the service. */
  readonly service: string;
}

let places: Places | undefined;

export const initialize: InitializeHook<Places> = (given) => {
  places = given;
};

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  if (!places || !context.parentURL?.startsWith(places.handlers) || !isBare(specifier))
    return nextResolve(specifier, context);
  const asService = { ...context, parentURL: places.service };
  if (specifier === 'tally' || specifier.startsWith('tally/')) return nextResolve(specifier, asService);
  try {
    return await nextResolve(specifier, context);
  } catch {
    return nextResolve(specifier, asService);
  }
};

const isBare = (specifier: string): boolean => !/^(?:[./]|[a-z]+:)/.test(specifier);
