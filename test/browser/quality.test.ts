import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterEach, beforeAll, expect, it } from '@jest/globals';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import type { TestUser } from '../support/app.js';
import { describeInBrowser, shareDashboard } from './browser.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What a page may weigh when it is first seen, as it comes over the wire. */
const PAGE_BYTES_MAX = 150_000;

/** What is read of the element that has the focus. */
const FOCUSED = 'document.activeElement?.textContent?.trim()';

/** What axe calls serious or worse, each with where. */
async function seriousProblems(page: Page): Promise<string[]> {
  // Not as a script of the page, which its policy would refuse.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate<AxeResults>('axe.run()');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary ?? ''}`),
    );
}

describeInBrowser('Every page of the dashboard, in a browser', () => {
  const dashboard = shareDashboard();
  let admin: TestUser;
  let job: string;
  let running: string;

  beforeAll(async () => {
    admin = await dashboard().app.addUser('admin@example.com', 'main', 'admin');
    const tasks = [{ times: 9, message: 'Mailbox full' }, { times: 0 }, { times: 0 }];
    job = await dashboard().submit(admin, { type: 'demo.fail', name: 'Some failed', max_attempts: 1, tasks });
    const naps = Array.from({ length: 60 }, () => ({ ms: 60_000 }));
    const long = await dashboard().submit(admin, {
      type: 'demo.sleep',
      metadata: { from: 'here' },
      tasks: naps,
    });
    running = await dashboard().submit(admin, { type: 'demo.sleep', name: 'Stopped', tasks: naps });
    await dashboard().app.post(`/api/v2/jobs/${long}/pause`, admin, undefined);
  });
  afterEach(async () => {
    await dashboard().closePages();
    expect(dashboard().complaints.splice(0)).toEqual([]);
  });

  for (const [colorScheme, width] of [
    ['light', 1440],
    ['dark', 1440],
    ['light', 390],
    ['dark', 390],
  ] as const)
    it(`has nothing serious for axe, ${colorScheme}, ${width} pixels wide, and nothing beside the page`, async () => {
      const page = await dashboard().page('/', { colorScheme, width });
      const look = async (where: string) => {
        expect([where, await seriousProblems(page)]).toEqual([where, []]);
        const overflow = await page.evaluate(
          'document.documentElement.scrollWidth - document.documentElement.clientWidth',
        );
        expect([where, overflow]).toEqual([where, 0]);
      };
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      await look('sign-in');
      await dashboard().signIn(page, admin);
      await page.getByText('Some failed').waitFor();
      await look('jobs');
      await page.goto(`/jobs/${job}`);
      await page.getByRole('button', { name: 'Failed 1' }).click();
      await page.getByText('What went wrong').waitFor();
      await page.getByRole('button', { name: 'Task 0, all of it' }).click();
      await look('job');
      await page.getByRole('button', { name: 'Delete' }).click();
      await look('dialog');
      await page.keyboard.press('Escape');
      await page.goto(`/jobs/${running}`);
      await page.getByRole('button', { name: 'Pause' }).waitFor();
      await look('running job');
      await page.goto('/workers');
      await page.getByText('Alive', { exact: true }).waitFor();
      await look('workers');
      await page.goto('/submit');
      await page.getByRole('combobox', { name: 'Task type' }).selectOption('demo.sleep');
      await page
        .getByLabel('Tasks as CSV, NDJSON or JSON')
        .fill('ms,note\n1,fine\nsoon,a number was expected\n');
      await page.getByText('Preview').waitFor();
      await page.getByText('More options').click();
      await page.getByRole('button', { name: 'Submit the job' }).click();
      await page.getByText('Nothing was submitted').waitFor();
      await look('submit');
    }, 120_000);

  it('weighs no more than 150 kB when it is first seen', async () => {
    const page = await dashboard().page('/sign-in');
    let bytes = 0;
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    await session.send('Network.setCacheDisabled', { cacheDisabled: true });
    // Also of the live connection, which never ends.
    session.on('Network.dataReceived', ({ encodedDataLength }) => (bytes += encodedDataLength));
    await dashboard().signIn(page, admin);
    bytes = 0;
    await page.goto('/');
    await page.getByText('Some failed').waitFor();
    await page.evaluate('document.fonts.ready.then(() => null)');
    expect(bytes).toBeLessThanOrEqual(PAGE_BYTES_MAX);
    // What it is made of was counted, and came compressed.
    expect(bytes).toBeGreaterThan(60_000);
  }, 60_000);

  it('can be used with the keyboard alone', async () => {
    const page = await dashboard().page('/');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.evaluate('document.activeElement?.getAttribute("name")')).toBe('email');
    await page.keyboard.type(admin.email);
    await page.keyboard.press('Tab');
    await page.keyboard.type('correct horse');
    await page.keyboard.press('Enter');
    await page.getByText('Some failed').waitFor();
    await page.goto('/');
    await page.getByText('Some failed').waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate(FOCUSED)).toBe('Skip to content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement?.id')).toBe('main');
    await tabTo(page, 'Some failed');
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/jobs/${job}`);
    await page.getByRole('heading', { name: 'Some failed' }).waitFor();
    await tabTo(page, 'Delete');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    // The focus is back where it was.
    expect(await page.evaluate(FOCUSED)).toBe('Delete');
  }, 60_000);

  it('is light or dark as the system says, until one chooses, and remembers that', async () => {
    const page = await dashboard().pageOf(admin, '/', { colorScheme: 'dark' });
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const dark = await ground();
    await page.getByRole('button', { name: 'Theme: system' }).click();
    const light = await ground();
    expect(light).not.toBe(dark);
    await page.reload();
    await page.getByRole('button', { name: 'Theme: light' }).waitFor();
    expect(await ground()).toBe(light);
  }, 60_000);
});

/** Presses Tab until what has the focus reads so. @throws Error when it does not come */
async function tabTo(page: Page, text: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(FOCUSED)) === text) return;
  }
  throw new Error(`Tab does not lead to ${text}`);
}
