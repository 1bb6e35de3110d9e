import { useSignal } from '@preact/signals';
import { FileText, Upload, X } from 'lucide';
import { useEffect, useRef } from 'preact/hooks';
import { Icon } from '../ui/icon.js';
import { bytes } from '../ui/numbers.js';
import type { Submission } from './submission.js';

/** Pasted text is read when the typing rests. */
const REST_MS = 250;

/** Where the tasks come from: a file that is dropped or chosen, or pasted text. */
export function Data({ form }: { form: Submission }) {
  const isOver = useSignal(false);
  const chooser = useRef<HTMLInputElement>(null);
  const input = form.input.value;
  const take = (file: File | undefined) => {
    if (file) form.change(() => (form.input.value = { blob: file, name: file.name }));
  };
  return (
    <section
      class="card data"
      aria-labelledby="data-title"
      data-over={isOver.value || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        isOver.value = true;
      }}
      onDragLeave={() => (isOver.value = false)}
      onDrop={(event) => {
        event.preventDefault();
        isOver.value = false;
        take(event.dataTransfer?.files[0]);
      }}
    >
      <div class="data-head">
        <h2 id="data-title">Tasks</h2>
        <button type="button" class="button" onClick={() => chooser.current?.click()}>
          <Icon of={Upload} /> Choose a file
        </button>
        <input
          ref={chooser}
          type="file"
          class="visually-hidden"
          tabIndex={-1}
          aria-label="File with tasks"
          accept=".csv,.tsv,.ndjson,.jsonl,.json,text/csv,application/json"
          onChange={(event) => {
            take(event.currentTarget.files?.[0]);
            event.currentTarget.value = '';
          }}
        />
      </div>
      {input?.name ? (
        <ChosenFile form={form} name={input.name} size={input.blob.size} />
      ) : (
        <Pasted form={form} />
      )}
    </section>
  );
}

function ChosenFile({ form, name, size }: { form: Submission; name: string; size: number }) {
  return (
    <p class="chosen-file">
      <Icon of={FileText} size={20} />
      <span>
        <strong class="wrap">{name}</strong>
        <span class="muted">
          {bytes(size)}
          {form.opened.value && ` of ${form.opened.value.source.format}`}
        </span>
      </span>
      <button
        type="button"
        class="icon-button"
        aria-label={`Take ${name} away`}
        onClick={() => form.change(() => (form.input.value = null))}
      >
        <Icon of={X} />
      </button>
    </p>
  );
}

function Pasted({ form }: { form: Submission }) {
  const text = useSignal('');
  useEffect(() => {
    const timer = setTimeout(() => {
      const { value } = text;
      // A file that was chosen meanwhile stands; and a form that nobody has typed into changes nothing.
      if (form.input.peek()?.name || (value === '' && form.input.peek() === null)) return;
      form.change(
        () => (form.input.value = value.trim() === '' ? null : { blob: new Blob([value]), name: null }),
      );
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [form, text, text.value]);
  return (
    <textarea
      class="input paste"
      aria-label="Tasks as CSV, NDJSON or JSON"
      placeholder={
        'Drop a CSV, NDJSON or JSON file anywhere here, or paste its text:\n\nid,status\n1,solved\n2,solved'
      }
      rows={8}
      spellcheck={false}
      value={text.value}
      onInput={(event) => (text.value = event.currentTarget.value)}
    />
  );
}
