import { useEffect, useRef } from 'preact/hooks';
import type { Submission } from './submission.js';
import { OPTIONS, type OptionField } from './options.js';

const INPUT_TYPES: Readonly<Record<OptionField['kind'], string>> = {
  text: 'text',
  number: 'number',
  time: 'datetime-local',
  json: 'text',
  url: 'url',
};

const NAME: OptionField = { name: 'name', label: 'Name', hint: 'So that people know it again', kind: 'text' };

export function Options({ form }: { form: Submission }) {
  const hasErrors = OPTIONS.some(({ name }) => form.optionErrors.value[name] !== undefined);
  const more = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    if (hasErrors && more.current) more.current.open = true;
  }, [hasErrors]);
  return (
    <section class="card options" aria-label="Options">
      <Option form={form} field={NAME} />
      <details ref={more}>
        <summary>More options</summary>
        <div class="option-grid">
          {OPTIONS.map((field) => (
            <Option key={field.name} form={form} field={field} />
          ))}
        </div>
      </details>
    </section>
  );
}

function Option({ form, field }: { form: Submission; field: OptionField }) {
  const { name, label, hint, kind, min, max } = field;
  const error = form.optionErrors.value[name];
  return (
    <label class="field" data-kind={kind}>
      <span>{label}</span>
      <input
        class="input"
        // The types of Preact tell one kind of input from the next, and take no union of them.
        type={INPUT_TYPES[kind] as 'text'}
        name={name}
        placeholder={hint}
        min={min}
        max={max}
        value={form.options.value[name] ?? ''}
        aria-invalid={error !== undefined || undefined}
        aria-describedby={error === undefined ? undefined : `error-${name}`}
        onInput={(event) => {
          const { value } = event.currentTarget;
          form.change(() => (form.options.value = { ...form.options.peek(), [name]: value }));
        }}
      />
      {error !== undefined && (
        <span id={`error-${name}`} class="field-error">
          {error}
        </span>
      )}
    </label>
  );
}
