import { signal } from '@preact/signals';
import { CircleAlert, CircleCheck, X } from 'lucide';
import { Icon } from './icon.js';

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly isBad: boolean;
}

const SHOWN_MS = 8_000;
const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

const dismiss = (id: number) => (toasts.value = toasts.value.filter((toast) => toast.id !== id));

/** Says what came of something, without taking the focus. */
export function say(text: string, { isBad = false } = {}): void {
  const id = (lastId += 1);
  toasts.value = [...toasts.value, { id, text, isBad }];
  setTimeout(() => dismiss(id), SHOWN_MS);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, isBad }) => (
        <div key={id} class="toast" data-bad={isBad || undefined}>
          <Icon of={isBad ? CircleAlert : CircleCheck} size={18} />
          <span>{text}</span>
          <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => dismiss(id)}>
            <Icon of={X} />
          </button>
        </div>
      ))}
    </div>
  );
}
