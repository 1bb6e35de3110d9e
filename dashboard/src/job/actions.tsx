import { useSignal } from '@preact/signals';
import { Ban, Pause, Play, RotateCcw, Trash2, type IconNode } from 'lucide';
import { useLocation } from 'preact-iso';
import { client } from '../api/client.js';
import { sentenceOf } from '../api/sentence.js';
import type { Job } from '../api/types.js';
import { mayControl } from '../session/session.js';
import { confirm, type Question } from '../ui/dialog.js';
import { Icon } from '../ui/icon.js';
import { plural } from '../ui/numbers.js';
import { say } from '../ui/toast.js';
import type { LiveJob } from './live-job.js';

interface Action {
  readonly icon: IconNode;
  readonly name: string;
  readonly isDangerous?: boolean;
  /** Is asked first. */
  readonly question?: Question;
  readonly run: () => Promise<void>;
}

/** What can be done to the job as it is, for those who may. */
export function JobActions({ live, job }: { live: LiveJob; job: Job }) {
  const { route } = useLocation();
  const isBusy = useSignal(false);
  if (!mayControl(job)) return null;

  const act = async ({ question, run }: Action) => {
    if (question && !(await confirm(question))) return;
    isBusy.value = true;
    try {
      await run();
    } catch (error) {
      say(sentenceOf(error), { isBad: true });
    } finally {
      isBusy.value = false;
    }
  };
  return (
    <div class="actions">
      {actionsOf(live, job, route).map((action) => (
        <button
          key={action.name}
          type="button"
          class={`button ${action.isDangerous ? 'button-danger-quiet' : ''}`}
          disabled={isBusy.value}
          onClick={() => void act(action)}
        >
          <Icon of={action.icon} /> {action.name}
        </button>
      ))}
    </div>
  );
}

function actionsOf(live: LiveJob, job: Job, route: (url: string) => void): readonly Action[] {
  if (job.status === 'working') return [job.paused ? resume(live) : pause(live), kill(live, job)];
  return [...(retryable(job) > 0 ? [retry(job, route)] : []), remove(job, route)];
}

/** Tasks that did not succeed: they failed, or were never processed. */
const retryable = ({ total, counts }: Job): number => total - counts.succeeded;

const pause = (live: LiveJob): Action => ({
  icon: Pause,
  name: 'Pause',
  run: async () => live.take(await client.pause(live.id)),
});

const resume = (live: LiveJob): Action => ({
  icon: Play,
  name: 'Resume',
  run: async () => live.take(await client.resume(live.id)),
});

const kill = (live: LiveJob, { id, total, progress }: Job): Action => ({
  icon: Ban,
  name: 'Kill',
  isDangerous: true,
  question: {
    title: 'Kill this job?',
    text: `It ends at once. The ${plural(total - progress, 'task')} without a result will not run; what is done stays done.`,
    verb: 'Kill the job',
    isDangerous: true,
  },
  run: async () => {
    await client.kill(id);
    await live.load();
    say('The job is killed');
  },
});

const retry = (job: Job, route: (url: string) => void): Action => ({
  icon: RotateCcw,
  name: `Retry ${plural(retryable(job), 'task')}`,
  question: {
    title: `Retry ${plural(retryable(job), 'task')}?`,
    text: 'A new job is made of every task that did not succeed. This one stays as it is.',
    verb: 'Retry',
  },
  run: async () => {
    const made = await client.retry(job.id);
    route(`/jobs/${made.id}`);
    say('This is the job that tries them again');
  },
});

const remove = ({ id, progress }: Job, route: (url: string) => void): Action => ({
  icon: Trash2,
  name: 'Delete',
  isDangerous: true,
  question: {
    title: 'Delete this job?',
    text: `The job and its ${plural(progress, 'result')} are removed for good.`,
    verb: 'Delete',
    isDangerous: true,
  },
  run: async () => {
    await client.remove(id);
    route('/');
    say('The job is deleted');
  },
});
