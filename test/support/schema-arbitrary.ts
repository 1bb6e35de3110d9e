import fc from 'fast-check';

/** As much of JSON Schema as the document of the API uses. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly format?: string;
  readonly pattern?: string;
}

/** Items of an array and characters of a text that are made, at most. */
const ITEMS_MAX = 4;
const CHARACTERS_MAX = 40;

/** Values that the schema takes. @param lookUp finds what a `$ref` names */
export function valuesOf(schema: JsonSchema, lookUp: (ref: string) => JsonSchema): fc.Arbitrary<unknown> {
  const inner = (one: JsonSchema) => valuesOf(one, lookUp);
  if (schema.$ref !== undefined) return inner(lookUp(schema.$ref));
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return fc.oneof(...either.map(inner));
  if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map((type) => inner({ ...schema, type })));
  switch (schema.type) {
    case 'object':
      return objects(schema, inner);
    case 'array':
      return fc.array(inner(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.max(schema.minItems ?? 0, Math.min(schema.maxItems ?? ITEMS_MAX, ITEMS_MAX)),
      });
    case 'string':
      return strings(schema);
    case 'integer':
      return integers(schema);
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function objects(schema: JsonSchema, inner: (one: JsonSchema) => fc.Arbitrary<unknown>) {
  const { properties, required = [] } = schema;
  if (!properties)
    return fc.dictionary(fc.string({ maxLength: 5 }), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 });
  const members = Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, inner(one)]));
  return fc.record(members, { requiredKeys: [...required] });
}

function strings({ format, pattern, minLength = 0, maxLength = CHARACTERS_MAX }: JsonSchema) {
  if (format === 'date-time')
    return fc
      .date({ min: new Date('2027-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
      .map((date) => date.toISOString());
  if (format === 'uri') return fc.webUrl();
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { maxLength: CHARACTERS_MAX });
  return fc.string({ minLength, maxLength: Math.max(minLength, Math.min(maxLength, CHARACTERS_MAX)) });
}

function integers({ minimum, exclusiveMinimum, maximum }: JsonSchema) {
  const min = Math.max(minimum ?? (exclusiveMinimum ?? -1_001) + 1, Number.MIN_SAFE_INTEGER);
  const max = Math.min(maximum ?? Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  return fc.oneof(
    fc.maxSafeInteger().map((n) => min + (Math.abs(n) % Math.max(1, Math.min(max - min, 1_000)))),
    fc.constantFrom(min, max),
  );
}
