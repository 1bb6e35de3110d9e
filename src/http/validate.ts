import { z } from 'zod';
import { invalid, type FieldError } from '../errors.js';

/** Complaints in an answer, and characters of a field's path, at most: both come from the client. */
const NAMED_FIELDS_MAX = 100;
const FIELD_CHARACTERS_MAX = 200;

/** Of a route without parameters: one that it does not know would otherwise be ignored in silence. */
export const noQuery = z.strictObject({});

/**
 * Parses what a client sent.
 * @param at a path to put before each field's name
 * @throws DomainError RecordInvalid that names every field and what was expected
 */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  at = '',
): z.output<Schema> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw invalid(fieldErrors(parsed.error, at).slice(0, NAMED_FIELDS_MAX));
}

/** The complaints of a zod error, a field each; an unknown key is named as itself. */
export function fieldErrors(error: z.ZodError, at = ''): FieldError[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({
        field: join(at, [...issue.path, key]),
        description: 'is not a known field',
      }));
    return [{ field: join(at, issue.path) || 'body', description: issue.message }];
  });
}

const join = (at: string, path: readonly PropertyKey[]): string =>
  [...(at ? [at] : []), ...path.map(String)].join('.').slice(0, FIELD_CHARACTERS_MAX).toWellFormed();
