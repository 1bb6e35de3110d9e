import type { TallyError } from 'tally/client';
import { plural } from '../ui/numbers.js';
import { OPTIONS } from './options.js';
import type { SourceRow } from './source.js';

export interface Complaint {
  /** Member of the task; empty: the task as a whole. */
  readonly member: string;
  readonly text: string;
}

export interface RefusedRow {
  readonly row: SourceRow;
  readonly complaints: readonly Complaint[];
}

export interface Refusal {
  readonly message: string;
  readonly options: Readonly<Record<string, string>>;
  /** By position of the task. */
  readonly tasks: ReadonlyMap<number, readonly Complaint[]>;
}

/** How many bad tasks the service names at most. */
const NAMED_MAX = 100;

/** Sorts what the service said by what it is about: an option, a row, or all of it. */
export function readRefusal(error: TallyError): Refusal {
  const options: Record<string, string> = {};
  const others: string[] = [];
  const tasks = new Map<number, Complaint[]>();
  for (const [field, problems] of Object.entries(error.details))
    for (const { description, position } of problems) {
      if (position !== undefined)
        tasks.set(position, [...(tasks.get(position) ?? []), complaintOf(field, description)]);
      else if (field === 'name' || OPTIONS.some(({ name }) => name === field)) options[field] = description;
      else others.push(`${field}: ${description}`);
    }
  return { message: messageOf(error, others, tasks.size, Object.keys(options).length), options, tasks };
}

/** The row says which it is: `tasks.3.id` is `id`, and the number of the line is not said twice. */
const complaintOf = (field: string, description: string): Complaint => ({
  member: field.replace(/^tasks\.\d+\.?/, ''),
  text: description.replace(/^line \d+: /, ''),
});

function messageOf(error: TallyError, others: readonly string[], rows: number, options: number): string {
  if (error.status === 0)
    return 'The service cannot be reached. Nothing may have been submitted; to try again makes no second job.';
  if (others.length > 0) return `Nothing was submitted. ${others.join('; ')}`;
  if (rows > 0)
    return `Nothing was submitted: ${rows >= NAMED_MAX ? `at least ${rows} rows were` : `${plural(rows, 'row')} ${rows === 1 ? 'was' : 'were'}`} refused.`;
  if (options > 0) return 'Nothing was submitted: see the options.';
  return `Nothing was submitted. ${error.description}`;
}
