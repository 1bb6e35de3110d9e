import { z } from 'zod';
import type {
  ZodOpenApiOperationObject,
  ZodOpenApiResponseObject,
  ZodOpenApiResponsesObject,
} from 'zod-openapi';
import type { ErrorWord } from '../errors.js';
import { statusOf } from '../http/error.filter.js';
import { errorSchema } from '../http/error.schemas.js';
import type {
  DescribedAnswer,
  DescribedCallback,
  DescribedContent,
  DescribedSchema,
} from '../http/operation.js';
import { MEANING } from './error-words.js';
import type { DescribedRoute } from './routes.js';

/** How a route's own description becomes an operation of the document. */

/** What any request may meet, by what it is. */
const ANY: readonly ErrorWord[] = ['InvalidRequest', 'InternalError'];
const NAMED: readonly ErrorWord[] = ['Unauthorized', 'Forbidden', 'TooManyRequests', 'Unavailable'];
const WRITING: readonly ErrorWord[] = [
  'InvalidJSON',
  'RequestTimeout',
  'PayloadTooLarge',
  'UnsupportedMediaType',
];

const everyAnswer = z.object({
  'X-Request-Id': z
    .string()
    .meta({ description: 'Names the request in the log', header: { id: 'X-Request-Id' } }),
});

const retryAfter = z
  .string()
  .regex(/^[1-9]\d*$/)
  .meta({ description: 'Seconds', header: { id: 'Retry-After' } });

/** Headers of errors with these codes. */
const ERROR_HEADERS: Readonly<Record<number, z.ZodRawShape>> = {
  401: { 'WWW-Authenticate': z.string().optional().describe('Left out for the dashboard') },
  429: { 'Retry-After': retryAfter },
  503: { 'Retry-After': retryAfter },
};

/** Schemas that only a running service knows, by name. */
export type LateSchemas = ReadonlyMap<string, z.ZodType>;

export function operationObject(
  { method, isPublic, operation }: DescribedRoute,
  late: LateSchemas,
): ZodOpenApiOperationObject {
  const { id, tag, summary, description, path, query, headers, body, callbacks } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(isPublic && { security: [] }),
    requestParams: { ...(path && { path }), ...(query && { query }), ...(headers && { header: headers }) },
    ...(body && {
      requestBody: {
        required: true,
        ...(body.description !== undefined && { description: body.description }),
        content: contentOf(body.content, late),
      },
    }),
    ...(callbacks && { callbacks: mapped(callbacks, callbackObject) }),
    responses: {
      ...answersOf(operation.answers, late),
      ...errorsOf(method, isPublic, operation.errors ?? []),
    },
  };
}

function answersOf(
  answers: Readonly<Record<number, DescribedAnswer>>,
  late: LateSchemas,
): ZodOpenApiResponsesObject {
  const described = Object.entries(answers).map(([status, { description, headers, content }]) => {
    const response = {
      description,
      headers: headers ? headers.extend(everyAnswer.shape) : everyAnswer,
      ...(content && { content: contentOf(content, late) }),
    };
    return [status, response] as const;
  });
  return Object.fromEntries(described);
}

function errorsOf(
  method: string,
  isPublic: boolean,
  errors: readonly ErrorWord[],
): ZodOpenApiResponsesObject {
  const words = new Set([
    ...errors,
    ...ANY,
    ...(isPublic ? [] : NAMED),
    ...(method === 'get' ? [] : WRITING),
  ]);
  const byStatus = new Map<number, ErrorWord[]>();
  for (const word of [...words].sort()) {
    const status = statusOf(word);
    byStatus.set(status, [...(byStatus.get(status) ?? []), word]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, those]) => [String(status), errorResponse(status, those)]),
  );
}

/** Made once: the document says each but once. */
const errorResponses = new Map<string, ZodOpenApiResponseObject>();

function errorResponse(status: number, words: readonly ErrorWord[]): ZodOpenApiResponseObject {
  const id = words.join('Or');
  const known = errorResponses.get(id);
  if (known) return known;
  const response: ZodOpenApiResponseObject = {
    id,
    description: words.map((word) => `\`${word}\`: ${MEANING[word]}`).join('; '),
    headers: everyAnswer.extend(ERROR_HEADERS[status] ?? {}),
    content: { 'application/json': { schema: z.union(words.map(errorSchema)) } },
  };
  errorResponses.set(id, response);
  return response;
}

const callbackObject = ({ url, summary, headers, body, answers }: DescribedCallback) => ({
  [url]: {
    post: {
      summary,
      security: [],
      requestParams: { header: headers },
      requestBody: { required: true, content: { 'application/json': { schema: body } } },
      responses: mapped(answers, (description) => ({ description })),
    },
  },
});

const mapped = <From, To>(values: Readonly<Record<string, From>>, by: (value: From) => To) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, by(value)]));

const contentOf = (content: DescribedContent, late: LateSchemas) =>
  mapped(content, (schema) => ({ schema: schemaOf(schema, late) }));

function schemaOf(schema: DescribedSchema, late: LateSchemas): z.ZodType {
  if (typeof schema !== 'string') return schema;
  const found = late.get(schema);
  if (!found) throw new Error(`no schema is known as ${schema}`);
  return found;
}
