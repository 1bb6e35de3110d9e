import { SendHorizontal } from 'lucide';
import { Icon } from '../ui/icon.js';
import { percent } from '../ui/numbers.js';
import type { Submission } from './submission.js';

/** The button, and in its place how far a big file is on its way. */
export function Send({ form }: { form: Submission }) {
  const phase = form.phase.value;
  if (phase.name === 'editing')
    return (
      <button
        type="submit"
        class="button button-primary button-wide button-big"
        disabled={form.input.value === null}
      >
        <Icon of={SendHorizontal} /> Submit the job
      </button>
    );
  const { name, fraction } = phase;
  const words = name === 'reading' ? 'Reading' : fraction >= 1 ? 'Checking' : 'Sending';
  return (
    <div class="card sending">
      <p>
        {words} … <span class="muted">{percent(fraction, 1)}</span>
      </p>
      <div
        class="progress"
        data-status="working"
        role="progressbar"
        aria-label={words}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(fraction * 100)}
      >
        <div class="progress-part progress-done" style={{ transform: `scaleX(${fraction})` }} />
      </div>
      <button type="button" class="button button-wide" onClick={() => form.cancel()}>
        Cancel
      </button>
    </div>
  );
}
