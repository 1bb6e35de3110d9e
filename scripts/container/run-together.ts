import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { waitFor } from '../../test/support/wait-for.js';
import { Container } from './container.js';
import type { Stage } from './dockerfile.js';
import type { Layout } from './layout.js';

interface Status {
  readonly url: string;
  readonly status: string;
  readonly progress: number;
  readonly results: readonly { readonly success: boolean }[];
}

/** Runs an api and a worker of the stage on the database, has them do a job, and stops them. @throws Error of the first thing wrong */
export async function runTogether(
  stage: Stage,
  layout: Layout,
  databaseUrl: string,
  say: (line: string) => void,
  freePort: () => Promise<number>,
): Promise<void> {
  await refusesToStartAlone(stage, layout, say);
  const password = randomBytes(12).toString('hex');
  const env = { DATABASE_URL: databaseUrl, ADMIN_PASSWORD: password, ADMIN_EMAIL: 'admin@example.com' };
  const started: Container[] = [];
  const start = async (role: string): Promise<[Container, string]> => {
    const port = String(await freePort());
    const container = Container.start(stage, layout, { ...env, ROLE: role, PORT: port });
    started.push(container);
    assert.notEqual(await container.check(), 0, `${role}: it is called healthy before it can be`);
    await container.healthy();
    say(`${role}: healthy${container.isProcessOne ? ', as process 1' : ''}`);
    return [container, `http://127.0.0.1:${port}`];
  };
  try {
    const [api, origin] = await start('api');
    const [worker, workerOrigin] = await start('worker');
    assert.equal((await fetch(`${origin}/healthz`)).status, 200);
    await waitFor(async () => (await fetch(`${origin}/readyz`)).ok, { what: 'the api to be ready' });
    await waitFor(async () => (await fetch(`${workerOrigin}/readyz`)).ok, { what: 'the worker to be ready' });
    const authorization = `Basic ${Buffer.from(`${env.ADMIN_EMAIL}:${password}`).toString('base64')}`;
    await complete(origin, authorization, 'tickets.create', [{ title: 'One' }, { title: 'Two' }]);
    say('A job of tickets.create, submitted to the api, was completed by the worker');
    await complete(origin, authorization, 'contacts.import', [{ email: 'ada@example.com', name: 'Ada' }]);
    say('A job of a mounted handler, which imports tally and zod, was completed');
    for (const [role, container] of Object.entries({ worker, api })) {
      const begun = performance.now();
      const code = await container.stop();
      assert.equal(code, 0, `${role}: SIGTERM ended it with ${code}, not 0:\n${container.output}`);
      assert.notEqual(await container.check(), 0, `${role}: it is called healthy when it is gone`);
      say(`${role}: SIGTERM ended it with 0 after ${Math.round(performance.now() - begun)} ms`);
    }
  } finally {
    await Promise.all(started.map((container) => container.stop()));
  }
}

/** The image has no database of its own: that must be said, and not be a riddle. */
async function refusesToStartAlone(stage: Stage, layout: Layout, say: (line: string) => void): Promise<void> {
  const alone = Container.start(stage, layout, { PORT: '0' });
  const code = await alone.exit();
  assert.equal(code, 1, `without DATABASE_URL it ended with ${code}:\n${alone.output}`);
  assert.match(alone.output, /set DATABASE_URL/);
  say(`Without a database it says: ${alone.output.trim().split('\n').at(-1) ?? ''}`);
}

async function complete(
  origin: string,
  authorization: string,
  type: string,
  tasks: readonly object[],
): Promise<void> {
  const answer = await fetch(`${origin}/api/v2/jobs.json`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ type, tasks }),
  });
  assert.equal(answer.status, 202, `${type}: ${await answer.clone().text()}`);
  const { url } = (await answer.json()) as Status;
  const ended = async (): Promise<Status | false> => {
    const status = (await (await fetch(url, { headers: { authorization } })).json()) as Status;
    return status.status !== 'working' && status;
  };
  const job = await waitFor(ended, { timeoutMs: 20_000, everyMs: 50, what: `a job of ${type} to end` });
  assert.equal(job.status, 'completed');
  assert.equal(job.progress, tasks.length);
  assert(
    job.results.every(({ success }) => success),
    `${type}: ${JSON.stringify(job.results)}`,
  );
}
