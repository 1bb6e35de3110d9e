/**
 * `npm run screenshots`: makes the pictures of docs/images/dashboard, of a service with a database of its own and the jobs of an
 * ordinary day. It needs a Chromium: /usr/bin/chromium, or where CHROMIUM says.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { launchChromium } from './chromium.js';
import { startEmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { ADMIN, Service } from '../test/support/service.js';
import { Geocoder } from './screenshots/geocoder.js';
import { begin, type Day } from './screenshots/help-desk.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PICTURES = join(ROOT, 'docs/images/dashboard');
/** So long the charts fill. */
const CHART_SECONDS = Number(process.env['CHART_SECONDS'] ?? 75);

const WIDTHS = { desktop: { width: 1440, height: 940 }, phone: { width: 390, height: 844 } } as const;
const SCHEMES = ['light', 'dark'] as const;

interface Screen {
  readonly name: string;
  readonly page: Page;
}

const CSV = [
  'Title,Priority,Tags,Internal note',
  'Screen on floor 3 flickers,high,hardware,ask Ben',
  'No paper on floor 5,sky-high,hardware;printer,',
  '"Door of the archive, left wing, is stuck",low,building,',
  ',urgent,building,who wrote this?',
  'Coffee machine leaks,urgent,building,',
].join('\n');

async function open(browser: Browser, origin: string): Promise<Screen[]> {
  const screens = SCHEMES.flatMap((colorScheme) =>
    Object.entries(WIDTHS).map(async ([width, viewport]) => {
      const context = await browser.newContext({
        colorScheme,
        viewport,
        baseURL: origin,
        reducedMotion: 'reduce',
      });
      context.setDefaultTimeout(60_000);
      const page = await context.newPage();
      await page.goto('/');
      await page.getByLabel('Email').fill('ana@example.com');
      await page.getByLabel('Password').fill(ADMIN.password);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByText('Working jobs').waitFor();
      return { name: `${width}-${colorScheme}`, page };
    }),
  );
  return Promise.all(screens);
}

/** One after the other: what moves looks the same only where the machine is not busy. */
async function shoot(
  screens: readonly Screen[],
  what: string,
  prepare: (page: Page) => Promise<void>,
): Promise<void> {
  for (const { name, page } of screens) {
    await prepare(page);
    // Toasts and the pointer are no part of the picture.
    await page.mouse.move(0, 0);
    await page.evaluate('document.fonts.ready.then(() => null)');
    await page.screenshot({ path: join(PICTURES, `${what}-${name}.png`) });
  }
  console.log(`${what}: ${screens.map(({ name }) => name).join(', ')}`);
}

async function shootAll(screens: readonly Screen[], { running, withFailures }: Day): Promise<void> {
  await shoot(screens, 'jobs', () => Promise.resolve());
  await shoot(screens, 'running-job', async (page) => {
    // Not a new load of the page, which would forget what the charts know.
    await page.locator(`a[href="/jobs/${running}"]`).click();
    await page.locator('tr.result').first().waitFor();
    await page.getByText('/s', { exact: false }).first().waitFor();
  });
  await shoot(screens, 'failures', async (page) => {
    await page.goto(`/jobs/${withFailures}`);
    await page.getByRole('button', { name: /^Failed/ }).click();
    await page.getByText('What went wrong').waitFor();
    await page.locator('.cell-more button').nth(1).click();
  });
  await shoot(screens, 'submit', async (page) => {
    await page.goto('/submit');
    await page.getByRole('combobox', { name: 'Task type' }).selectOption('tickets.create');
    await page.setInputFiles('input[type=file]', {
      name: 'tickets.csv',
      mimeType: 'text/csv',
      buffer: Buffer.from(CSV),
    });
    await page.getByText('Preview').waitFor();
    await page.getByRole('button', { name: 'Submit the job' }).click();
    await page.getByText('Nothing was submitted').waitFor();
    await page.evaluate('window.scrollTo(0, 0)');
  });
}

async function main(folder: string): Promise<void> {
  const geocoder = await Geocoder.start();
  const postgres = await startEmbeddedPostgres({ dataDir: folder, log: () => undefined, durable: false });
  const service = await Service.start({
    DATABASE_URL: postgres.url,
    HANDLERS: join(ROOT, 'examples/handlers'),
    GEOCODER_URL: geocoder.url,
    DEMO_TASKS: 'false',
  });
  const browser = await launchChromium();
  try {
    const day = await begin(service.origin, postgres.url);
    const screens = await open(browser, service.origin);
    await sleep(CHART_SECONDS * 1_000);
    await shootAll(screens, day);
  } finally {
    await browser.close();
    await service.stop();
    await postgres.stop();
    await geocoder.stop();
  }
}

const folder = await mkdtemp(join(tmpdir(), 'tally-screenshots-'));
try {
  await main(folder);
} finally {
  await rm(folder, { recursive: true, force: true });
}
