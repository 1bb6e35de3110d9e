import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

export interface Question {
  readonly title: string;
  readonly text: string;
  /** On the button that does it. */
  readonly verb: string;
  readonly isDangerous?: boolean;
}

interface Asked extends Question {
  readonly answer: (isSure: boolean) => void;
}

const asked = signal<Asked | null>(null);

/** Asks before something is done that cannot be taken back. */
export function confirm(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    asked.value = { ...question, answer: resolve };
  });
}

/** The browser's own modal dialog: it keeps the focus inside, closes at Escape and gives the focus back. */
export function ConfirmDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const question = asked.value;
  useEffect(() => {
    if (question) dialog.current?.showModal();
  }, [question]);
  if (!question) return null;
  const close = (isSure: boolean) => {
    dialog.current?.close();
    asked.value = null;
    question.answer(isSure);
  };
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby="dialog-title"
      aria-describedby="dialog-text"
      // Taken away before it is closed, it would not give the focus back.
      onCancel={(event) => {
        event.preventDefault();
        close(false);
      }}
    >
      <h2 id="dialog-title">{question.title}</h2>
      <p id="dialog-text">{question.text}</p>
      <div class="dialog-buttons">
        <button type="button" class="button" onClick={() => close(false)}>
          Cancel
        </button>
        <button
          type="button"
          class={`button ${question.isDangerous ? 'button-danger' : 'button-primary'}`}
          onClick={() => close(true)}
        >
          {question.verb}
        </button>
      </div>
    </dialog>
  );
}
