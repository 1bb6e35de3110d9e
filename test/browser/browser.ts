import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { CHROMIUM, launchChromium } from '../../scripts/chromium.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { PASSWORD, TestApp, type TestUser } from '../support/app.js';

const hasBrowser = existsSync(CHROMIUM);

/** A page is given so long to show what it must: CI is a noisy machine. */
const PATIENCE_MS = 20_000;

if (!hasBrowser)
  console.warn(`SKIPPED: no browser at ${CHROMIUM}. Install chromium, or say in CHROMIUM where one is.`);

/** Like describe; skipped where there is no browser. */
export const describeInBrowser = hasBrowser ? describe : describe.skip;

interface PageOptions {
  readonly colorScheme?: 'light' | 'dark';
  readonly width?: number;
}

/** The service, a browser, and what went wrong in its pages: shared by the tests of a file. */
export class Dashboard {
  /** What pages said on their console that they must not, each with its page. */
  readonly complaints: string[] = [];
  readonly #contexts: BrowserContext[] = [];

  private constructor(
    readonly app: TestApp,
    readonly browser: Browser,
    private readonly database: TestDatabase,
  ) {}

  static async start(env: Readonly<Record<string, string>> = {}): Promise<Dashboard> {
    const database = await createTestDatabase();
    const [app, browser] = await Promise.all([
      TestApp.start(database.url, { env: { DRAIN_SECONDS: '0', ...env } }),
      launchChromium(),
    ]);
    return new Dashboard(app, browser, database);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.app.stop();
    await this.database.drop();
  }

  /** A page of a browser of its own: with no cookie, and with nothing stored. */
  async page(path: string, { colorScheme = 'light', width = 1280 }: PageOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({
      colorScheme,
      viewport: { width, height: 800 },
      baseURL: this.app.origin,
      reducedMotion: 'reduce',
    });
    this.#contexts.push(context);
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    page.on('pageerror', (error) => this.complaints.push(`${page.url()}: ${error.message}`));
    page.on('console', (message) => {
      if (
        ['error', 'warning'].includes(message.type()) &&
        !isExpected(message.text(), message.location().url)
      )
        this.complaints.push(`${page.url()}: ${message.text()} (${message.location().url})`);
    });
    await page.goto(path);
    return page;
  }

  async signIn(page: Page, user: TestUser): Promise<void> {
    await page.getByLabel('Email').fill(user.email);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
  }

  /** A page of this user. */
  async pageOf(user: TestUser, path: string, options: PageOptions = {}): Promise<Page> {
    const page = await this.page(path, options);
    await this.signIn(page, user);
    return page;
  }

  /** @returns the id of a job of this user */
  async submit(user: TestUser, job: object): Promise<string> {
    const { status, body, text } = await this.app.post('/api/v2/jobs.json', user, job);
    if (status !== 202) throw new Error(`the job was refused: ${text}`);
    return (body as { id: string }).id;
  }

  async closePages(): Promise<void> {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
  }
}

/** Browsers report each answer that is an error; these are asked for: nobody is signed in (any more), or a form was refused. */
const isExpected = (text: string, url: string): boolean =>
  /^Failed to load resource: .* (401|404|422)/.test(text) && /\/session$|\/api\/v2\//.test(url);

/** One service and one browser for the tests of a file. @returns what is there once they run */
export function shareDashboard(env: Readonly<Record<string, string>> = {}): () => Dashboard {
  let dashboard: Dashboard | undefined;
  beforeAll(async () => {
    dashboard = await Dashboard.start(env);
  }, 60_000);
  afterAll(async () => {
    await dashboard?.stop();
  }, 60_000);
  return () => {
    if (!dashboard) throw new Error('the dashboard is there when the tests run');
    return dashboard;
  };
}
