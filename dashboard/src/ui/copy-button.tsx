import { useSignal } from '@preact/signals';
import { Check, Copy } from 'lucide';
import { Icon } from './icon.js';
import { say } from './toast.js';

const SHOWN_MS = 2_000;

export function CopyButton({ text, label }: { text: string; label: string }) {
  const isCopied = useSignal(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      isCopied.value = true;
      setTimeout(() => (isCopied.value = false), SHOWN_MS);
    } catch {
      say('The browser does not allow copying here', { isBad: true });
    }
  };
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={() => void copy()}>
      <Icon of={isCopied.value ? Check : Copy} />
    </button>
  );
}
