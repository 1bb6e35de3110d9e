import type { Field, TaskShape } from './schema-fields.js';
import { typesOf } from './schema-fields.js';

/** Which member of the task each column becomes; null: none. */
export type Mapping = readonly (string | null)[];

/** A column goes to the member of its name, whatever its case and blanks; where a task may have any member, to its own. */
export function guessMapping(columns: readonly string[], { fields, isOpen }: TaskShape): Mapping {
  const byName = new Map(fields.map(({ name }) => [plain(name), name]));
  const taken = new Set<string>();
  return columns.map((column) => {
    const name = byName.get(plain(column)) ?? (isOpen && column !== '' ? column : null);
    if (name === null || taken.has(name)) return null;
    taken.add(name);
    return name;
  });
}

const plain = (name: string): string => name.toLowerCase().replaceAll(/[\s_-]+/g, '');

/** The task that a row of cells is. An empty cell is a member that is not there. */
export function taskOf(
  cells: readonly string[],
  mapping: Mapping,
  fields: ReadonlyMap<string, Field>,
): object {
  const members: [string, unknown][] = [];
  for (const [column, name] of mapping.entries()) {
    const text = cells[column] ?? '';
    if (name !== null && text !== '') members.push([name, valueOf(text, fields.get(name))]);
  }
  return Object.fromEntries(members);
}

/** What is not of the member's type stays text, which the service then refuses with its own words. */
function valueOf(text: string, field: Field | undefined): unknown {
  const types = field ? typesOf(field.schema) : ['string'];
  const trimmed = text.trim();
  if (types.includes('string') && !types.includes('array')) return text;
  if ((types.includes('integer') || types.includes('number')) && /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(trimmed))
    return Number(trimmed);
  if (types.includes('boolean') && /^(true|false)$/i.test(trimmed)) return trimmed.toLowerCase() === 'true';
  if ((types.includes('array') || types.includes('object')) && /^[[{]/.test(trimmed))
    return jsonOr(trimmed, text);
  if (types.includes('array'))
    return trimmed
      .split(/[;,]/)
      .map((one) => one.trim())
      .filter((one) => one !== '');
  return text;
}

function jsonOr(json: string, otherwise: unknown): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return otherwise;
  }
}
