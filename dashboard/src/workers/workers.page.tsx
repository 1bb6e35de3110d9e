import { useSignal, type Signal } from '@preact/signals';
import { Cpu } from 'lucide';
import { useEffect } from 'preact/hooks';
import { workers as readWorkers } from '../api/client.js';
import { sentenceOf } from '../api/sentence.js';
import type { Lease, Worker } from '../api/types.js';
import { Icon } from '../ui/icon.js';
import { count, plural } from '../ui/numbers.js';
import { Ago } from '../ui/time.js';
import { useTitle } from '../ui/title.js';

/** How often the workers are asked for while the page is looked at. */
const POLL_MS = 2_000;

/** Which processes work, and on what: their leases say. */
export function WorkersPage() {
  useTitle('Workers');
  const workers = useSignal<readonly Worker[] | null>(null);
  const error = useSignal<string | null>(null);
  useEffect(() => pollWorkers(workers, error), [workers, error]);
  const all = workers.value ?? [];
  const alive = all.filter((worker) => worker.alive);
  const running = all.reduce((sum, worker) => sum + tasksOf(worker), 0);
  const places = alive.reduce((sum, { concurrency }) => sum + concurrency, 0);
  return (
    <>
      <div class="page-head">
        <h1>Workers</h1>
        {workers.value && (
          <p class="muted">
            {plural(alive.length, 'worker')} alive, {plural(places, 'task')} at once, {count(running)} leased
          </p>
        )}
      </div>
      {error.value !== null && (
        <p class="notice notice-bad" role="alert">
          {error}
        </p>
      )}
      {workers.value?.length === 0 && <NoWorkers />}
      <ul class="workers">
        {all.map((worker) => (
          <WorkerCard key={worker.name} worker={worker} />
        ))}
      </ul>
    </>
  );
}

function pollWorkers(workers: Signal<readonly Worker[] | null>, error: Signal<string | null>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isLeft = false;
  const poll = async () => {
    try {
      if (!document.hidden || workers.peek() === null) workers.value = await readWorkers();
      error.value = null;
    } catch (thrown) {
      error.value = sentenceOf(thrown);
    }
    if (!isLeft) timer = setTimeout(() => void poll(), POLL_MS);
  };
  void poll();
  return () => {
    isLeft = true;
    clearTimeout(timer);
  };
}

const tasksOf = ({ running }: Worker): number => running.reduce((sum, { tasks }) => sum + tasks, 0);

function NoWorkers() {
  return (
    <div class="empty">
      <Icon of={Cpu} size={32} />
      <h2>No worker has been seen</h2>
      <p class="muted">
        Jobs are accepted and wait. Start a process with <code>ROLE=worker</code> or <code>ROLE=all</code>.
      </p>
    </div>
  );
}

function WorkerCard({ worker }: { worker: Worker }) {
  const { name, alive, concurrency, running, types } = worker;
  return (
    <li class="card worker" data-dead={!alive || undefined}>
      <div class="worker-head">
        <h2>
          <code>{name}</code>
        </h2>
        <span class="badge" data-state={alive ? 'completed' : 'failed'}>
          <span class="pulse" />
          {alive ? 'Alive' : 'Gone'}
        </span>
      </div>
      <dl class="worker-facts">
        <div>
          <dt>Started</dt>
          <dd>
            <Ago at={worker.started_at} />
          </dd>
        </div>
        <div>
          <dt>Seen</dt>
          <dd>
            <Ago at={worker.seen_at} />
          </dd>
        </div>
        <div>
          <dt>At once</dt>
          <dd>{plural(concurrency, 'task')}</dd>
        </div>
        <div>
          <dt>Leased</dt>
          <dd>{plural(tasksOf(worker), 'task')}</dd>
        </div>
      </dl>
      <p class="worker-types" aria-label="Task types">
        {types.map((type) => (
          <span key={type} class="chip">
            {type}
          </span>
        ))}
      </p>
      {running.length === 0 ? (
        <p class="muted worker-idle">Nothing to do</p>
      ) : (
        <Leases running={running} name={name} />
      )}
    </li>
  );
}

function Leases({ running, name }: { running: readonly Lease[]; name: string }) {
  return (
    <div class="leases-scroll">
      <table class="leases" aria-label={`What ${name} runs`}>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">Tasks</th>
            <th scope="col">Since</th>
          </tr>
        </thead>
        <tbody>
          {running.map((lease) => (
            <tr key={`${lease.job_id}:${lease.first_index}`}>
              <td>
                <a href={`/jobs/${lease.job_id}`}>{lease.job_name ?? lease.type}</a>
              </td>
              <td>
                {count(lease.tasks)} <span class="muted">from {count(lease.first_index)}</span>
              </td>
              <td>
                <Ago at={lease.leased_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
