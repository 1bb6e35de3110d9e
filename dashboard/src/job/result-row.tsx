import { useSignal } from '@preact/signals';
import { Check, ChevronDown, X } from 'lucide';
import type { TaskResult } from '../api/types.js';
import { CopyButton } from '../ui/copy-button.js';
import { Icon } from '../ui/icon.js';
import { count } from '../ui/numbers.js';

/** Characters of a result on its line; the browser cuts it off where there is less room. */
const LINE_CHARACTERS = 300;

/** One line, and below it, when it is opened, the whole of what the task was and what became of it. */
export function ResultRow({ row }: { row: TaskResult }) {
  const isOpen = useSignal(false);
  const id = `result-${row.index}`;
  return (
    <>
      <tr class="result" data-failed={!row.success || undefined}>
        <td class="cell-number">{count(row.index)}</td>
        <td>
          <span class="outcome" data-failed={!row.success || undefined}>
            <Icon of={row.success ? Check : X} size={14} />
            {row.success ? outcomeOf(row.result) : row.error}
          </span>
        </td>
        <td class="cell-number">{row.attempts}</td>
        <td class="result-line">{row.success ? lineOf(row.result) : <Failure row={row} />}</td>
        <td class="cell-more">
          <button
            type="button"
            class="icon-button"
            aria-expanded={isOpen.value}
            aria-controls={isOpen.value ? id : undefined}
            aria-label={`Task ${row.index}, all of it`}
            onClick={() => (isOpen.value = !isOpen.value)}
          >
            <Icon of={ChevronDown} />
          </button>
        </td>
      </tr>
      {isOpen.value && (
        <tr class="result-open" id={id}>
          <td colSpan={5}>
            <div class="result-whole">
              {!row.success && <Json title="Input" value={row.task} />}
              <Json title="Result" value={row.result} />
            </div>
          </td>
        </tr>
      )}
    </>
  );
}

function Failure({ row }: { row: TaskResult & { success: false } }) {
  return (
    <>
      <span class="failure-reason">{reasonOf(row.result)}</span>
      <span class="failure-input">{lineOf(row.task)}</span>
    </>
  );
}

function Json({ title, value }: { title: string; value: unknown }) {
  const text = JSON.stringify(value, null, 2);
  return (
    <figure class="json-figure">
      <figcaption>
        {title}
        <CopyButton text={text} label={`Copy the ${title.toLowerCase()}`} />
      </figcaption>
      <pre class="json" tabIndex={0} aria-label={title}>
        {text}
      </pre>
    </figure>
  );
}

const lineOf = (value: unknown): string => JSON.stringify(value).slice(0, LINE_CHARACTERS);

/** What a handler says of its own success, as the reference domain does: `Updated`. */
function outcomeOf(result: unknown): string {
  const status = memberOf(result, 'status');
  return typeof status === 'string' && status.length <= 24 ? status : 'Succeeded';
}

function reasonOf(result: unknown): string {
  const errors = memberOf(result, 'errors');
  return typeof errors === 'string' && errors !== '' ? errors : lineOf(result);
}

const memberOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
