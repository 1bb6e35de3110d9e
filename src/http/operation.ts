import { SetMetadata } from '@nestjs/common';
import type { z } from 'zod';
import type { ErrorWord } from '../errors.js';

/**
 * What a route says of itself, beside the code that serves it: the room src/openapi makes the OpenAPI document of it. The
 * schemas are those that the route parses its input with, and those of its answers, against which the tests hold every answer.
 */

/** A zod schema, or the name of one that only a running service knows. */
export type DescribedSchema = z.ZodType | string;

/** Bodies by media type. */
export type DescribedContent = Readonly<Record<string, DescribedSchema>>;

export interface DescribedAnswer {
  readonly description: string;
  /** Those that are always there are required. */
  readonly headers?: z.ZodObject;
  readonly content?: DescribedContent;
}

export interface DescribedCallback {
  /** Where its URL stands in the request: `{$request.body#/callback_url}`. */
  readonly url: string;
  readonly summary: string;
  readonly headers: z.ZodObject;
  readonly body: z.ZodType;
  readonly answers: Readonly<Record<string, string>>;
}

export interface OperationDescription {
  /** Unique in the API, for generated clients. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** What an `:id` in the path is. */
  readonly path?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly headers?: z.ZodObject;
  readonly body?: { readonly description?: string; readonly content: DescribedContent };
  /** Requests that the service makes because of this one, by name. */
  readonly callbacks?: Readonly<Record<string, DescribedCallback>>;
  /** By status code. */
  readonly answers: Readonly<Record<number, DescribedAnswer>>;
  /** Beside those that any request may meet. */
  readonly errors?: readonly ErrorWord[];
  /** Whether the path is documented with `.json` at its end. Default true. */
  readonly isJson?: boolean;
}

export const OPERATION = 'tally:operation';

/** Describes a route. */
export const Operation = (description: OperationDescription) => SetMetadata(OPERATION, description);
