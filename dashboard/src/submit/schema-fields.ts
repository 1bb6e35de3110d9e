import type { JsonSchema } from '../api/types.js';

/** A member of a task, as the form speaks of it. */
export interface Field {
  readonly name: string;
  /** For people: `text`, `whole number`, `one of low, normal, high`. */
  readonly kind: string;
  readonly isRequired: boolean;
  readonly description: string | null;
  readonly schema: JsonSchema;
}

export interface TaskShape {
  readonly fields: readonly Field[];
  /** Whether a task may have members that the schema does not name. */
  readonly isOpen: boolean;
}

export function shapeOf(schema: JsonSchema): TaskShape {
  const required = new Set(Array.isArray(schema['required']) ? (schema['required'] as unknown[]) : []);
  const fields = Object.entries(objectOf(schema['properties'])).map(([name, property]) => {
    const field = objectOf(property);
    const { description } = field;
    return {
      name,
      kind: kindOf(field),
      isRequired: required.has(name),
      description: typeof description === 'string' ? description : null,
      schema: field,
    };
  });
  return { fields, isOpen: schema['additionalProperties'] !== false };
}

/** The JSON types that a value may have. */
export function typesOf(schema: JsonSchema): readonly string[] {
  const { type } = schema;
  if (typeof type === 'string') return [type];
  if (Array.isArray(type)) return type.map(String);
  return alternativesOf(schema).flatMap(typesOf);
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'whole number',
  number: 'number',
  boolean: 'true or false',
  array: 'list',
  object: 'object',
};

function kindOf(schema: JsonSchema): string {
  const choices = choicesOf(schema);
  const types = typesOf(schema);
  const orEmpty = types.includes('null') ? ', or null' : '';
  if (choices.length > 0) return `one of ${choices.join(', ')}${orEmpty}`;
  const words = types.filter((type) => type !== 'null').map((type) => WORDS[type] ?? type);
  return `${words.length > 0 ? words.join(' or ') : 'anything'}${limitsOf(schema)}${orEmpty}`;
}

function choicesOf(schema: JsonSchema): readonly string[] {
  if (Array.isArray(schema['enum'])) return schema['enum'].filter((value) => value !== null).map(String);
  if ('const' in schema) return [String(schema['const'])];
  return alternativesOf(schema).flatMap(choicesOf);
}

function limitsOf({ minimum, maximum, maxLength, maxItems }: JsonSchema): string {
  const isUsual = (value: unknown): value is number =>
    typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER;
  if (isUsual(minimum) && isUsual(maximum)) return `, ${minimum} to ${maximum}`;
  if (isUsual(minimum)) return `, at least ${minimum}`;
  if (isUsual(maxLength)) return `, up to ${maxLength.toLocaleString('en')} characters`;
  return isUsual(maxItems) ? `, up to ${maxItems}` : '';
}

const alternativesOf = (schema: JsonSchema): readonly JsonSchema[] =>
  [schema['anyOf'], schema['oneOf']].flatMap((list) => (Array.isArray(list) ? list.map(objectOf) : []));

const objectOf = (value: unknown): JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonSchema) : {};
