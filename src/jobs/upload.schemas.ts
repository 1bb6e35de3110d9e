import { z } from 'zod';
import { invalid, DomainError } from '../errors.js';
import { parseJson } from '../http/json-body.js';
import { submissionHead } from './job.schemas.js';

/** The query of a streamed submission, as it is documented; `headOfQuery` reads it. */
export const uploadQuery = submissionHead.extend({
  type: submissionHead.shape.type
    .optional()
    .describe('The type of the tasks; required where the tasks are NDJSON'),
  metadata: z.string().optional().describe('A JSON object of 4 KiB at most, as text'),
});

const NUMBERS = new Set(['priority', 'max_attempts', 'max_failures', 'task_timeout']);

/**
 * The type and options of a streamed submission as its JSON body would say them: in a query all is text. What is no number or
 * JSON stays as it is, for the schema to complain about.
 * @throws DomainError RecordInvalid
 */
export function headOfQuery(query: unknown): Record<string, unknown> {
  const head = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(query as Record<string, unknown>))
    head[name] = typeof value === 'string' ? valueOf(name, value) : value;
  return head;
}

function valueOf(name: string, text: string): unknown {
  if (text.includes('\0') || !text.isWellFormed())
    throw invalid([
      { field: name.toWellFormed().slice(0, 200), description: 'expected text without NUL characters' },
    ]);
  if (NUMBERS.has(name) && /^-?\d{1,15}$/.test(text)) return Number(text);
  return name === 'metadata' ? metadataOf(text) : text;
}

function metadataOf(text: string): unknown {
  try {
    return parseJson(Buffer.from(text), 'the text');
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    throw invalid([{ field: 'metadata', description: `expected an object as JSON text: ${error.message}` }]);
  }
}
