import { CircleAlert } from 'lucide';
import { useEffect, useRef } from 'preact/hooks';
import { Icon } from '../ui/icon.js';
import { count } from '../ui/numbers.js';
import type { Submission } from './submission.js';

/** What the service said against it, with each row that it named. */
export function Refused({ form }: { form: Submission }) {
  const box = useRef<HTMLDivElement>(null);
  const error = form.error.value;
  const rows = form.refusedRows.value;
  useEffect(() => {
    if (error !== null) box.current?.scrollIntoView({ block: 'nearest' });
  }, [error]);
  return (
    <div ref={box} role="alert" class="refused">
      {error !== null && (
        <section class="card refused-card">
          <p class="refused-head">
            <Icon of={CircleAlert} size={20} /> {error}
          </p>
          {rows.length > 0 && (
            <ul class="refused-rows">
              {rows.map(({ row, complaints }) => (
                <li key={row.position}>
                  <span class="refused-line">Line {count(row.line)}</span>
                  <code class="refused-text">{row.cells.join(', ')}</code>
                  <ul class="complaints">
                    {complaints.map(({ member, text }) => (
                      <li key={member + text}>
                        {member !== '' && <code>{member}</code>} {text}
                      </li>
                    ))}
                  </ul>
                </li>
              ))}
            </ul>
          )}
        </section>
      )}
    </div>
  );
}
