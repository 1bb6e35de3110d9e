import type { Submission } from './submission.js';

/** The type of the tasks, and what one of them may say. */
export function TypeChoice({ form }: { form: Submission }) {
  const { fields, isOpen } = form.shape.value;
  return (
    <section class="card type-choice">
      <label class="field">
        <span>Task type</span>
        <select
          class="input"
          value={form.type.value}
          onChange={(event) => {
            const { value } = event.currentTarget;
            form.change(() => (form.type.value = value));
          }}
        >
          {form.types.value.map(({ type }) => (
            <option key={type} value={type}>
              {type}
            </option>
          ))}
        </select>
      </label>
      <h3>What a task says</h3>
      <dl class="schema">
        {fields.map(({ name, kind, isRequired, description }) => (
          <div key={name}>
            <dt>
              <code>{name}</code>
              {isRequired && <span class="required">required</span>}
            </dt>
            <dd>
              {kind}
              {description !== null && <span class="muted"> {description}</span>}
            </dd>
          </div>
        ))}
      </dl>
      {isOpen && (
        <p class="muted small">
          {fields.length > 0 ? 'Other members are taken too.' : 'Any object is taken.'}
        </p>
      )}
    </section>
  );
}
