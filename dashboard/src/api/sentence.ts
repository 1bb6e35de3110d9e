import { TallyError } from 'tally/client';

/** What to tell people of anything thrown. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof TallyError)) return error instanceof Error ? error.message : String(error);
  if (error.status === 0) return 'The service cannot be reached';
  const fields = Object.entries(error.details).flatMap(([field, problems]) =>
    problems.map(({ description }) => `${field}: ${description}`),
  );
  return fields.length > 0 ? fields.join('; ') : error.description;
}
