import { afterEach, beforeAll, expect, it } from '@jest/globals';
import type { TestUser } from '../support/app.js';
import { waitFor } from '../support/wait-for.js';
import { describeInBrowser, shareDashboard } from './browser.js';

const naps = (many: number, ms: number) => Array.from({ length: many }, () => ({ ms }));

describeInBrowser('The dashboard, in a browser', () => {
  const dashboard = shareDashboard();
  let admin: TestUser;
  let agent: TestUser;
  let stranger: TestUser;

  beforeAll(async () => {
    const { app } = dashboard();
    admin = await app.addUser('admin@example.com', 'main', 'admin');
    agent = await app.addUser('agent@example.com', 'main');
    stranger = await app.addUser('stranger@example.com', 'other', 'admin');
  });
  afterEach(async () => {
    await dashboard().closePages();
    expect(dashboard().complaints.splice(0)).toEqual([]);
  });

  it('asks who it is, refuses a wrong password, and goes to where one wanted to be', async () => {
    const page = await dashboard().page('/workers');
    await page.waitForURL('**/sign-in?next=%2Fworkers');
    await page.getByLabel('Email').fill(admin.email);
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Wrong email or password').waitFor();
    await dashboard().signIn(page, admin);
    await page.waitForURL('**/workers');
    await page.getByText('Alive', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL('**/sign-in**');
    expect((await page.context().cookies()).filter(({ value }) => value !== '')).toEqual([]);
  }, 60_000);

  it('keeps its cookie from scripts and from other sites', async () => {
    const page = await dashboard().pageOf(admin, '/');
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    expect(await page.evaluate('document.cookie')).toBe('');
  }, 60_000);

  it('shows a job that is submitted meanwhile, moving, until it is done', async () => {
    const page = await dashboard().pageOf(admin, '/');
    await page.getByText('Working jobs').waitFor();
    await dashboard().submit(admin, { type: 'demo.sleep', name: 'Moving', tasks: naps(120, 150) });
    const row = page.getByRole('row').filter({ hasText: 'Moving' });
    const progress = row.getByRole('progressbar');
    const seen = new Set<number>();
    await waitFor(
      async () => {
        seen.add(Number(await progress.getAttribute('aria-valuenow')));
        return seen.has(120);
      },
      { timeoutMs: 30_000, everyMs: 50, what: 'the bar to reach its end' },
    );
    expect(seen.size).toBeGreaterThan(2);
    expect([...seen]).toEqual([...seen].sort((a, b) => a - b));
    await row.getByText('Completed').waitFor();
  }, 90_000);

  it('draws the charts over the last minute, also before it has seen two seconds', async () => {
    const page = await dashboard().page('/');
    await page.waitForURL('**/sign-in**');
    await page.evaluate(`
      window.labels = [];
      const { fillText } = CanvasRenderingContext2D.prototype;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        window.labels.push(text);
        return fillText.call(this, text, ...rest);
      };`);
    await dashboard().signIn(page, admin);
    // The second with a value is the third that the page has seen: by then it has drawn none, one and two.
    const drawn = () => page.evaluate<string[]>('window.labels');
    const legend = page.locator('.legend dd').first();
    await waitFor(async () => (await legend.textContent()) !== '–', { timeoutMs: 20_000 });
    const before = (await drawn()).length;
    await waitFor(async () => (await drawn()).length > before, { timeoutMs: 20_000 });
    const now = new Date();
    const second = (hours: number, minutes: number, seconds: number) => (hours * 60 + minutes) * 60 + seconds;
    const nowSecond = second(now.getHours(), now.getMinutes(), now.getSeconds());
    const times = (await drawn()).filter((label) => /^\d\d:\d\d:\d\d$/.test(label));
    expect(times.length).toBeGreaterThan(5);
    const ago = times.map((time) => {
      const [hours, minutes, seconds] = time.split(':').map(Number) as [number, number, number];
      return (nowSecond - second(hours, minutes, seconds) + 86_400) % 86_400;
    });
    expect(Math.max(...ago)).toBeLessThan(150);
  }, 90_000);

  it('filters by what its address says', async () => {
    const named = await dashboard().submit(agent, {
      type: 'demo.sleep',
      name: 'Filtered',
      tasks: naps(1, 0),
    });
    await dashboard().submit(admin, { type: 'demo.fail', name: 'Another', tasks: [{ times: 0 }] });
    const page = await dashboard().pageOf(admin, `/?person=${agent.email}`);
    const links = page.locator('.job-link');
    await page.getByText('Filtered').waitFor();
    expect(await links.count()).toBe(1);
    await page.getByRole('searchbox', { name: 'Name' }).fill('Another');
    await page.keyboard.press('Enter');
    await page.getByText('No job is like that').waitFor();
    await page.getByRole('link', { name: 'Clear' }).click();
    await page.getByRole('combobox', { name: 'Type' }).selectOption('demo.fail');
    await page.getByText('Another').waitFor();
    expect(new URL(page.url()).search).toBe('?type=demo.fail');
    await page.goBack();
    await page.goto(`/jobs/${named}`);
    await page.getByRole('heading', { name: 'Filtered' }).waitFor();
  }, 90_000);

  it('kills a job, after asking', async () => {
    const id = await dashboard().submit(admin, {
      type: 'demo.sleep',
      name: 'Too much',
      tasks: naps(40, 60_000),
    });
    const page = await dashboard().pageOf(admin, `/jobs/${id}`);
    await page.getByRole('button', { name: 'Kill' }).click();
    const dialog = page.getByRole('dialog', { name: 'Kill this job?' });
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect((await dashboard().app.get(`/api/v2/jobs/${id}`, admin)).body.status).toBe('working');
    await page.getByRole('button', { name: 'Kill' }).click();
    await dialog.getByRole('button', { name: 'Kill the job' }).click();
    await page.getByText('Killed', { exact: true }).waitFor();
    expect((await dashboard().app.get(`/api/v2/jobs/${id}`, admin)).body.status).toBe('killed');
    expect(await page.getByRole('button', { name: 'Kill' }).count()).toBe(0);
  }, 90_000);

  it('pauses a job and lets it go on', async () => {
    const id = await dashboard().submit(admin, {
      type: 'demo.sleep',
      name: 'Breath',
      tasks: naps(90, 60_000),
    });
    const page = await dashboard().pageOf(admin, `/jobs/${id}`);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByText('Working', { exact: true }).waitFor();
    await dashboard().app.post(`/api/v2/jobs/${id}/kill`, admin, undefined);
  }, 90_000);

  it('shows what failed with its input, and retries it', async () => {
    const tasks = [{ times: 0 }, { times: 9, message: 'Mailbox full', note: 'invoice 7' }, { times: 0 }];
    const id = await dashboard().submit(admin, {
      type: 'demo.fail',
      name: 'Invoices',
      max_attempts: 1,
      tasks,
    });
    const page = await dashboard().pageOf(admin, `/jobs/${id}`);
    await page.getByText('Completed', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Failed 1' }).click();
    await page.getByText('What went wrong').waitFor();
    expect(await page.locator('tr.result').count()).toBe(1);
    await page.getByRole('button', { name: 'Task 1, all of it' }).click();
    expect(await page.getByLabel('Input', { exact: true }).textContent()).toContain('"note": "invoice 7"');
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download failed results as CSV' }).click(),
    ]);
    expect(file.suggestedFilename()).toBe(`job-${id}-failed.csv`);

    await page.getByRole('button', { name: 'Retry 1 task' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click();
    await page.waitForURL((url) => url.pathname.startsWith('/jobs/') && !url.pathname.endsWith(id));
    const retried = new URL(page.url()).pathname.split('/').at(-1) ?? '';
    expect((await dashboard().app.get(`/api/v2/jobs/${retried}`, admin)).body).toMatchObject({
      retry_of: id,
      total: 1,
    });
    await page.getByText('Completed', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.waitForURL((url) => url.pathname === '/');
    expect((await dashboard().app.get(`/api/v2/jobs/${retried}`, admin)).status).toBe(404);
  }, 120_000);

  it('calls the rows what they are until those that failed are there', async () => {
    const id = await dashboard().submit(admin, {
      type: 'demo.fail',
      name: 'Slowly told',
      max_attempts: 1,
      tasks: [{ times: 0 }, { times: 9, message: 'Mailbox full' }],
    });
    const page = await dashboard().pageOf(admin, `/jobs/${id}`);
    await page.getByText('Completed', { exact: true }).waitFor();
    await page.locator('tr.result').nth(1).waitFor();
    const asked = page.waitForRequest(/results\.json\?.*success/);
    let answer = () => {};
    const held = new Promise<void>((resolve) => (answer = resolve));
    await page.route(/results\.json\?.*success/, async (route) => {
      await held;
      await route.continue();
    });
    await page.getByRole('button', { name: 'Failed 1' }).click();
    await asked;
    await page.locator('table[aria-busy=true]').waitFor();
    expect(await page.getByText('What went wrong').count()).toBe(0);
    expect(await page.locator('tr.result').count()).toBe(2);
    answer();
    await page.getByText('What went wrong').waitFor();
    expect(await page.locator('tr.result').count()).toBe(1);
  }, 90_000);

  it('pages through results, and goes to any of them', async () => {
    const tasks = Array.from({ length: 1_000 }, (_, at) => ({ ms: 0, note: `n${at}` }));
    const id = await dashboard().submit(admin, { type: 'demo.sleep', name: 'Long', tasks });
    const page = await dashboard().pageOf(admin, `/jobs/${id}`);
    await page.getByText('Completed', { exact: true }).waitFor();
    const first = page.locator('tr.result').first();
    await page.getByText('Tasks 0 to 49 of 1,000').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('Tasks 50 to 99 of 1,000').waitFor();
    await page.getByLabel('Go to task').fill('777');
    await page.getByRole('button', { name: 'Go', exact: true }).click();
    await page.getByText('Tasks 777 to 826 of 1,000').waitFor();
    expect(await first.textContent()).toContain('"note":"n777"');
    await page.getByRole('button', { name: 'Previous' }).click();
    await page.getByText('Tasks 727 to 776 of 1,000').waitFor();
  }, 90_000);

  it('shows no job of another account, and no button to those who may not', async () => {
    const id = await dashboard().submit(admin, {
      type: 'demo.sleep',
      name: 'Secret',
      tasks: naps(1, 120_000),
    });
    const other = await dashboard().pageOf(stranger, `/jobs/${id}`);
    await other.getByText('There is no such job').waitFor();
    await other.goto('/');
    await other.getByText('No jobs yet').waitFor();
    expect(await other.getByText('Secret').count()).toBe(0);

    const mere = await dashboard().pageOf(agent, `/jobs/${id}`);
    await mere.getByRole('heading', { name: 'Secret' }).waitFor();
    expect(await mere.getByRole('button', { name: 'Kill' }).count()).toBe(0);
    await dashboard().app.post(`/api/v2/jobs/${id}/kill`, admin, undefined);
  }, 90_000);

  it('says that the session has ended, and comes back to the page after the next sign-in', async () => {
    const id = await dashboard().submit(admin, { type: 'demo.sleep', name: 'Kept', tasks: naps(1, 0) });
    const page = await dashboard().pageOf(admin, `/jobs/${id}`);
    await page.getByRole('heading', { name: 'Kept' }).waitFor();
    await dashboard().app.prisma.session.deleteMany();
    await page.context().clearCookies();
    await page.getByRole('link', { name: 'Workers' }).click();
    await page.getByText('Your session has ended').waitFor();
    await dashboard().signIn(page, admin);
    await page.waitForURL('**/workers');
  }, 90_000);
});
