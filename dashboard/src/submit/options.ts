/** What may be said of a job beside its type and tasks, as the form asks for it. */
export interface OptionField {
  readonly name: string;
  readonly label: string;
  readonly hint: string;
  readonly kind: 'text' | 'number' | 'time' | 'json' | 'url';
  readonly min?: number;
  readonly max?: number;
}

export const OPTIONS: readonly OptionField[] = [
  { name: 'priority', label: 'Priority', hint: '0; higher first', kind: 'number', min: -100, max: 100 },
  { name: 'max_attempts', label: 'Attempts a task', hint: '3', kind: 'number', min: 1, max: 25 },
  { name: 'max_failures', label: 'Failures allowed', hint: 'any number', kind: 'number', min: 0 },
  { name: 'task_timeout', label: 'Seconds for a task', hint: '30', kind: 'number', min: 1, max: 86_400 },
  { name: 'start_at', label: 'Begin at', hint: '', kind: 'time' },
  { name: 'deadline', label: 'Deadline', hint: '', kind: 'time' },
  { name: 'callback_url', label: 'Callback URL', hint: 'https://…', kind: 'url' },
  { name: 'metadata', label: 'Metadata', hint: '{"source": "import"}', kind: 'json' },
];

/** As a streamed submission's query says them. A time of the form is one of the browser's own zone. */
export function optionsQuery(values: Readonly<Record<string, string>>): Record<string, string> {
  const times = new Set(OPTIONS.filter(({ kind }) => kind === 'time').map(({ name }) => name));
  const given = Object.entries(values).filter(([, value]) => value.trim() !== '');
  return Object.fromEntries(
    given.map(([name, value]) => [name, times.has(name) ? new Date(value).toISOString() : value.trim()]),
  );
}
