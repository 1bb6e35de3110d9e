import { Service } from './service.js';

/** Keeps worker processes running, as systemd or Kubernetes would: whoever dies is started again at once. */
export class Supervisor {
  /** Workers that have died so far. */
  crashes = 0;
  readonly #stopping = new AbortController();
  readonly #workers = new Set<Service>();
  readonly #slots: Promise<void>[] = [];

  constructor(workers: number, env: Readonly<Record<string, string>>) {
    for (let n = 0; n < workers; n += 1) this.#slots.push(this.#keep({ ...env, ROLE: 'worker' }));
  }

  /** Those that have started and run. */
  get running(): Service[] {
    return [...this.#workers].filter((worker) => worker.output.includes('tasks at once'));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const worker of this.#workers) worker.child.kill('SIGKILL');
    await Promise.all(this.#slots);
  }

  async #keep(env: Readonly<Record<string, string>>): Promise<void> {
    const isStopping = (): boolean => this.#stopping.signal.aborted;
    while (!isStopping()) {
      const worker = await Service.spawn(env);
      this.#workers.add(worker);
      if (isStopping()) worker.child.kill('SIGKILL');
      await worker.exit();
      this.#workers.delete(worker);
      if (!isStopping()) this.crashes += 1;
    }
  }
}
