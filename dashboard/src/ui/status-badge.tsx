import { CircleCheck, CircleDot, CirclePause, CircleSlash, CircleX, Clock, type IconNode } from 'lucide';
import type { Job } from '../api/types.js';
import { Icon } from './icon.js';

type Shown = Job['status'] | 'paused' | 'scheduled';

const SHOWN: Readonly<Record<Shown, { readonly icon: IconNode; readonly word: string }>> = {
  working: { icon: CircleDot, word: 'Working' },
  paused: { icon: CirclePause, word: 'Paused' },
  scheduled: { icon: Clock, word: 'Scheduled' },
  completed: { icon: CircleCheck, word: 'Completed' },
  failed: { icon: CircleX, word: 'Failed' },
  killed: { icon: CircleSlash, word: 'Killed' },
};

/** What of a job there is to see at a glance: more than its status, which calls a paused one `working`. */
export function shownState({ status, paused, start_at, started_at }: Job): Shown {
  if (status !== 'working') return status;
  if (paused) return 'paused';
  return started_at === null && start_at !== null && Date.parse(start_at) > Date.now()
    ? 'scheduled'
    : 'working';
}

export function StatusBadge({ job }: { job: Job }) {
  const state = shownState(job);
  const { icon, word } = SHOWN[state];
  return (
    <span class="badge" data-state={state}>
      <Icon of={icon} size={14} />
      {word}
    </span>
  );
}
