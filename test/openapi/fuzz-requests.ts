import fc from 'fast-check';
import { valuesOf, type JsonSchema } from '../support/schema-arbitrary.js';

/** Requests made of the OpenAPI document: mostly as it says, with something in them that it does not say. */

interface Parameter {
  readonly in: 'path' | 'query' | 'header';
  readonly name: string;
  readonly required?: boolean;
  readonly schema: JsonSchema;
}

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
}

export interface FuzzDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, JsonSchema>>>>;
}

export interface FuzzRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  /** In how many pieces the body is sent. */
  readonly pieces: number;
  readonly credentials: 'right' | 'none' | 'forged';
  /** What is forged. */
  readonly authorization: string;
}

/** What no schema of the API has in mind. */
const hostileTexts = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\0',
    '\ud800',
    '__proto__',
    'constructor',
    "'; DROP TABLE x --",
    '../..',
    '%00',
    '\r\nX: y',
    '𝕏',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constant('x'.repeat(20_000)),
);
const hostileNumbers = fc.constantFrom(-1, 0, 0.5, -0, 1e308, 2 ** 31, 2 ** 53, 2 ** 63, -(2 ** 63));
const nested = fc
  .integer({ min: 1, max: 300 })
  .map((depth) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown);
const hostileValues = fc.oneof(
  hostileTexts,
  hostileNumbers,
  fc.constantFrom(null, true, [], {}, [[]], [null]),
  fc.constant(
    JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}') as unknown,
  ),
  nested,
  fc.jsonValue({ maxDepth: 3 }),
);

/** The value with another one somewhere in it. */
const tampered = (value: unknown): fc.Arbitrary<unknown> =>
  fc
    .tuple(fc.array(fc.nat(20), { maxLength: 4 }), hostileValues, hostileTexts, fc.boolean())
    .map(([steps, hostile, key, isNew]) => replaced(value, steps, hostile, isNew ? key : null));

function replaced(
  value: unknown,
  steps: readonly number[],
  hostile: unknown,
  newKey: string | null,
): unknown {
  const [step, ...rest] = steps;
  if (typeof value !== 'object' || value === null || step === undefined) {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject && newKey !== null
      ? Object.fromEntries([...Object.entries(value), [newKey, hostile]])
      : hostile;
  }
  const keys = Object.keys(value);
  if (keys.length === 0) return hostile;
  const key = keys[step % keys.length]!;
  const inner = replaced((value as Record<string, unknown>)[key], rest, hostile, newKey);
  if (Array.isArray(value)) return value.map((one: unknown, at) => (String(at) === key ? inner : one));
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, name === key ? inner : one]));
}

/** JSON text with something in it that JSON.stringify would not write. */
const misspelt = (text: string): fc.Arbitrary<Buffer> =>
  fc.oneof(
    fc.constant(Buffer.from(text.replace(/:\s*-?\d+/, ':1e400'))),
    fc.constant(Buffer.from(text.replace('{', '{"type":"x","tasks":[],'))),
    fc.constant(Buffer.from(text.replace(/"([^"]*)"/, '"$1\\u0000\\ud800"'))),
    fc.constant(Buffer.from(text.slice(0, -1))),
    fc.constant(Buffer.from('['.repeat(50_000))),
    fc.tuple(fc.nat(), fc.nat(255)).map(([at, byte]) => {
      const bytes = Buffer.from(text);
      if (bytes.length > 0) bytes[at % bytes.length] = byte;
      return bytes;
    }),
    fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  );

const jsonBodies = (values: fc.Arbitrary<unknown>): fc.Arbitrary<Buffer> =>
  fc.oneof(
    { weight: 3, arbitrary: values.map((value) => Buffer.from(JSON.stringify(value))) },
    { weight: 4, arbitrary: values.chain(tampered).map((value) => Buffer.from(JSON.stringify(value))) },
    { weight: 3, arbitrary: values.chain((value) => misspelt(JSON.stringify(value))) },
  );

/** Tasks a line, less the frame that JSON has around them. */
const lineBodies = (values: fc.Arbitrary<unknown>): fc.Arbitrary<Buffer> =>
  fc
    .array(jsonBodies(values.map((value) => (value as { tasks?: unknown[] }).tasks?.[0] ?? value)), {
      maxLength: 6,
    })
    .map((lines) => Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')])));

const queryTexts = (schema: JsonSchema, lookUp: (ref: string) => JsonSchema): fc.Arbitrary<string> =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: valuesOf(schema, lookUp).map((value) =>
        encode(typeof value === 'string' ? value : JSON.stringify(value)),
      ),
    },
    { weight: 2, arbitrary: hostileTexts.map(encode) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '%',
        '%ff',
        '%00',
        '%u0041',
        'AAAA',
        encode(Buffer.from('{"a":1}').toString('base64url')),
      ),
    },
  );

const encode = (text: string): string => encodeURIComponent(text.toWellFormed()).slice(0, 3_000);

/** What Node lets a client send in a header. */
const headerTexts = (schema: JsonSchema, lookUp: (ref: string) => JsonSchema): fc.Arbitrary<string> =>
  fc
    .oneof(
      valuesOf(schema, lookUp).map(String),
      hostileTexts,
      fc.constantFrom(
        'wait=0',
        'wait=-1',
        'wait=x',
        'wait="0";a, wait=1',
        '*',
        'W/"1-a"',
        '"',
        '0',
        '99999999999999999999',
        'gzip',
        'br',
      ),
    )
    .map((text) => text.replace(/[^\x20-\x7e\x80-\xff]/g, '').slice(0, 2_000))
    // It would be held, as it should be.
    .map((text) => text.replace(/wait\s*=\s*"?[1-9]\d*/gi, 'wait=0'));

const forgedAuthorizations = fc.oneof(
  fc.constantFrom(
    'Basic',
    'Bearer',
    'Basic !!!',
    'Bearer ',
    'Digest x',
    `Basic ${Buffer.from('nobody').toString('base64')}`,
  ),
  fc.base64String({ maxLength: 100 }).map((text) => `Basic ${text}`),
  fc.stringMatching(/^[\w-]{1,60}$/).map((token) => `Bearer ${token}`),
  fc
    .stringMatching(/^[\w-]{1,60}$/)
    .map((token) => `Basic ${Buffer.from(`no@example.com/token:${token}`).toString('base64')}`),
);

const contentTypes = fc.oneof(
  { weight: 8, arbitrary: fc.constant(null) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'text/plain',
      'application/x-ndjson',
      'application/json; charset=latin1',
      'x',
      'multipart/form-data',
    ),
  },
);

/**
 * @param ids of things that are there, for paths
 * @param good a body, by operation, that is done as it stands: the document says too little of tasks for many to be
 */
export function fuzzRequests(
  document: FuzzDocument,
  ids: () => readonly string[],
  good: Readonly<Record<string, unknown>>,
): fc.Arbitrary<FuzzRequest> {
  const lookUp = (ref: string): JsonSchema => {
    const [, , kind, name] = ref.split('/');
    return document.components[kind!]![name!]!;
  };
  const each = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      requestsOf(path, method, operation, lookUp, ids, good),
    ),
  );
  return fc.oneof(...each);
}

function requestsOf(
  path: string,
  method: string,
  { operationId, parameters = [], requestBody }: Operation,
  lookUp: (ref: string) => JsonSchema,
  ids: () => readonly string[],
  good: Readonly<Record<string, unknown>>,
): fc.Arbitrary<FuzzRequest> {
  // Half of the requests have none: of those that have some, nearly all are refused for one of them.
  const named = (where: Parameter['in'], texts: typeof queryTexts) =>
    fc.oneof(
      fc.constant({}),
      fc.record(
        Object.fromEntries(
          parameters.filter((one) => one.in === where).map((one) => [one.name, texts(one.schema, lookUp)]),
        ),
        { requiredKeys: [] },
      ),
    );
  const segment = fc.oneof(
    { weight: 4, arbitrary: fc.nat().map((n) => ids()[n % Math.max(1, ids().length)] ?? '1') },
    { weight: 1, arbitrary: hostileTexts.map(encode) },
  );
  const json = requestBody?.content['application/json']?.schema;
  const described = json ? valuesOf(json, lookUp) : fc.jsonValue({ maxDepth: 2 });
  const values = operationId in good ? fc.oneof(described, fc.constant(good[operationId])) : described;
  const types = Object.keys(requestBody?.content ?? { 'application/json': {} });
  const body = fc.constantFrom(...types).chain((type) =>
    fc.record({
      type: fc.constant(type),
      bytes: type === 'application/x-ndjson' ? lineBodies(values) : jsonBodies(values),
    }),
  );
  const hasBody = requestBody !== undefined || method !== 'get';
  return fc
    .record({
      segments: fc.array(segment, { minLength: 2, maxLength: 2 }),
      query: named('query', queryTexts),
      extra: fc.oneof(
        { weight: 7, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.tuple(hostileTexts.map(encode), hostileTexts.map(encode)) },
      ),
      headers: named('header', headerTexts),
      sent: hasBody ? fc.option(body, { freq: 10 }) : fc.constant(null),
      type: contentTypes,
      pieces: fc.constantFrom(1, 1, 1, 3),
      credentials: fc.constantFrom<FuzzRequest['credentials'][]>(
        'right',
        'right',
        'right',
        'right',
        'right',
        'right',
        'right',
        'right',
        'none',
        'forged',
      ),
      authorization: forgedAuthorizations,
      hasDotJson: fc.boolean(),
    })
    .map(
      ({ segments, query, extra, headers, sent, type, pieces, credentials, authorization, hasDotJson }) => {
        let at = 0;
        const filled = path.replace(/\{\w+\}/g, () => segments[at++ % segments.length]!);
        const target = hasDotJson ? filled : filled.replace(/^(\/api\/.*)\.json$/, '$1');
        const pairs = [
          ...Object.entries(query).map(([name, text]) => [encodeURIComponent(name), String(text)]),
          ...(extra ? [extra] : []),
        ];
        const search = pairs.map(([name, text]) => `${name}=${text}`).join('&');
        return {
          method: method.toUpperCase(),
          target: search === '' ? target : `${target}?${search}`,
          headers: {
            ...(headers as Record<string, string>),
            ...(sent && { 'Content-Type': type ?? sent.type }),
          },
          body: sent ? sent.bytes : null,
          pieces,
          credentials,
          authorization,
        };
      },
    );
}
