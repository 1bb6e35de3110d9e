import { expect } from '@jest/globals';
import { parseJobId } from '../../src/jobs/job.js';
import { RetentionStore } from '../../src/jobs/retention.store.js';
import { Retention } from '../../src/workers/retention.js';
import { ANYTHING } from '../http/http-support.js';
import { TestApp, type TestAppOptions, type TestUser } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { tasks } from '../support/handlers.js';

export const HOURS = 168;
export const LEASE_MS = 60_000;

export const NOTHING = { jobs: 0, results: 0, chunks: 0, removed: 0, keys: 0 };

export const storeOf = (app: TestApp) => app.app.get(RetentionStore);
/** As the sweep of that process would. */
export const run = (app: TestApp) => app.app.get(Retention).run();

/** A database, and an API process on it in which nothing is swept unless the test says so. */
export class Kept {
  readonly #apps: TestApp[] = [];
  app!: TestApp;
  user!: TestUser;

  private constructor(readonly database: TestDatabase) {}

  static async start(): Promise<Kept> {
    const kept = new Kept(await createTestDatabase());
    kept.app = await kept.another();
    kept.user = await kept.app.addUser();
    return kept;
  }

  /** Another process on the same database. */
  async another(options: TestAppOptions = {}): Promise<TestApp> {
    const app = await TestApp.start(this.database.url, {
      role: 'api',
      handlers: [ANYTHING],
      ...options,
      env: { DRAIN_SECONDS: '0', ...options.env },
    });
    this.#apps.push(app);
    return app;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#apps.map((app) => app.stop()));
    await this.database.drop();
  }

  job(id: string, app = this.app) {
    return app.get(`/api/v2/jobs/${id}.json`, this.user);
  }

  act(id: string, what: string, app = this.app) {
    return app.post(`/api/v2/jobs/${id}/${what}.json`, this.user, undefined);
  }

  async submit(total: number, headers: Record<string, string> = {}): Promise<string> {
    const body = { type: 'test.anything', tasks: tasks(total) };
    const answer = await this.app.post('/api/v2/jobs.json', this.user, body, headers);
    expect(answer.status).toBe(202);
    return answer.body.id as string;
  }

  /** Moves the end back. An ended job never changes, so this passes by the trigger that sees to it. */
  async endedAgo(id: string, ago: string): Promise<void> {
    const { prisma } = this.app;
    const [, moved] = await prisma.$transaction([
      prisma.$executeRaw`SET LOCAL session_replication_role = replica`,
      prisma.$executeRaw`UPDATE job_statuses SET finished_at = clock_timestamp() - ${ago}::text::interval
                          WHERE id = ${parseJobId(id)}::uuid`,
    ]);
    expect(moved).toBe(1);
  }

  /** Rows there are of what a job may leave. */
  async rows() {
    const { prisma } = this.app;
    const [jobs, results, chunks, removed, keys] = await Promise.all([
      prisma.jobStatus.count(),
      prisma.jobResult.count(),
      prisma.taskChunk.count(),
      prisma.deletedJob.count(),
      prisma.idempotencyKey.count(),
    ]);
    return { jobs, results, chunks, removed, keys };
  }
}
