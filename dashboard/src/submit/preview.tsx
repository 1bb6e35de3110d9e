import { count, plural } from '../ui/numbers.js';
import { lineMaker } from './convert.js';
import type { Submission } from './submission.js';

/** The first tasks as they will be sent; of CSV, which member of the task each column becomes. */
export function Preview({ form }: { form: Submission }) {
  const opened = form.opened.value;
  if (!opened) return null;
  const { source, preview } = opened;
  const lineOf = lineMaker(source, form.mapping.value, form.shape.value);
  return (
    <section class="card preview" aria-labelledby="preview-title">
      <h2 id="preview-title">
        Preview <span class="muted">the first {plural(preview.length, 'task')}</span>
      </h2>
      {source.columns !== null && <Columns form={form} columns={source.columns} />}
      <div class="preview-scroll" tabIndex={0} role="group" aria-label="First tasks">
        <table class="preview-table">
          <thead>
            <tr>
              <th scope="col">Line</th>
              <th scope="col">Task</th>
            </tr>
          </thead>
          <tbody>
            {preview.map((row) => (
              <tr key={row.position}>
                <td class="cell-number">{count(row.line)}</td>
                <td>
                  <code>{lineOf(row)}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Columns({ form, columns }: { form: Submission; columns: readonly string[] }) {
  const { fields, isOpen } = form.shape.value;
  const mapping = form.mapping.value;
  const missing = fields.filter(({ name, isRequired }) => isRequired && !mapping.includes(name));
  const choose = (column: number, name: string) =>
    form.change(() => {
      const wanted = name === '' ? null : name;
      // A member has one column: the one chosen last.
      form.mapping.value = mapping.map((one, at) => (at === column ? wanted : one === wanted ? null : one));
    });
  return (
    <>
      <ul class="columns">
        {columns.map((column, at) => (
          <li key={column + String(at)} data-unused={mapping[at] === null || undefined}>
            <label>
              <span class="column-name">{column === '' ? `Column ${at + 1}` : column}</span>
              <select
                class="input"
                aria-label={`Column ${column} becomes`}
                value={mapping[at] ?? ''}
                onChange={(event) => choose(at, event.currentTarget.value)}
              >
                <option value="">left out</option>
                {fields.map(({ name }) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
                {isOpen && !fields.some(({ name }) => name === column) && column !== '' && (
                  <option value={column}>{column}</option>
                )}
              </select>
            </label>
          </li>
        ))}
      </ul>
      {missing.length > 0 && (
        <p class="notice notice-warn">
          No column becomes {missing.map(({ name }) => name).join(', ')}, which a task must have.
        </p>
      )}
    </>
  );
}
