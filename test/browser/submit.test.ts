import { afterEach, beforeAll, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';
import type { TestUser } from '../support/app.js';
import { describeInBrowser, shareDashboard } from './browser.js';

/** As people drop it: on the card of the form. */
async function drop(page: Page, name: string, content: string): Promise<void> {
  const transfer = await page.evaluateHandle(`
    const transfer = new DataTransfer();
    transfer.items.add(new File([${JSON.stringify(content)}], ${JSON.stringify(name)}));
    transfer`);
  await page.dispatchEvent('.data', 'drop', { dataTransfer: transfer });
}

const BAD = [
  'Title,Priority,Tags,Internal note',
  '"Printer, on fire",urgent,hardware;printer,ask Bob',
  'No paper,sky-high,,',
  '',
  ',low,,',
  '"Two',
  'lines",low,a,',
  'Last,loud,,',
].join('\r\n');

describeInBrowser('The form that submits a job, in a browser', () => {
  const dashboard = shareDashboard();
  let admin: TestUser;

  beforeAll(async () => {
    admin = await dashboard().app.addUser('admin@example.com', 'main', 'admin');
  });
  afterEach(async () => {
    await dashboard().closePages();
    expect(dashboard().complaints.splice(0)).toEqual([]);
  });

  const jobOf = async (page: Page) => {
    await page.waitForURL('**/jobs/*');
    const id = new URL(page.url()).pathname.split('/').at(-1) ?? '';
    return (await dashboard().app.get(`/api/v2/jobs/${id}`, admin)).body;
  };

  it('names each row of a dropped CSV file that is refused, by its line, and takes it when it is right', async () => {
    const page = await dashboard().pageOf(admin, '/submit');
    await page.getByRole('combobox', { name: 'Task type' }).selectOption('tickets.create');
    await drop(page, 'tickets.csv', BAD);
    await page
      .getByText('{"title":"Printer, on fire","priority":"urgent","tags":["hardware","printer"]}')
      .waitFor();
    await expect(page.getByLabel('Column Internal note becomes').inputValue()).resolves.toBe('');
    await page.getByRole('button', { name: 'Submit the job' }).click();
    await page.getByText('Nothing was submitted: 3 rows were refused.').waitFor();
    expect(await page.locator('.refused-rows > li').allTextContents()).toEqual([
      expect.stringMatching(/^Line 3No paper.*priority expected one of low, normal, high, urgent, or null$/),
      expect.stringMatching(/^Line 5.*title expected a title$/),
      expect.stringMatching(/^Line 8Last, loud.*priority expected one of/),
    ]);
    expect((await dashboard().app.get('/api/v2/jobs', admin)).body.jobs).toEqual([]);

    await drop(
      page,
      'tickets.csv',
      BAD.replace('sky-high', 'high').replace('\r\n,low', '\r\nNow named,low').replace('loud', ''),
    );
    await page.getByText('Nothing was submitted').waitFor({ state: 'detached' });
    await page.getByLabel('Name', { exact: true }).fill('From a file');
    await page.getByRole('button', { name: 'Submit the job' }).click();
    expect(await jobOf(page)).toMatchObject({ name: 'From a file', type: 'tickets.create', total: 5 });
    await page.getByText('Completed', { exact: true }).waitFor();
    const { tickets } = (await dashboard().app.get('/api/v2/tickets', admin)).body;
    expect(tickets.map(({ title }: { title: string }) => title).sort()).toEqual(
      ['Last', 'No paper', 'Now named', 'Printer, on fire', 'Two\r\nlines'].sort(),
    );
  }, 120_000);

  it('says what is wrong with an option beside it, and keeps what was typed', async () => {
    const page = await dashboard().pageOf(admin, '/submit');
    await page.getByRole('combobox', { name: 'Task type' }).selectOption('demo.sleep');
    await page.getByLabel('Tasks as CSV, NDJSON or JSON').fill('{"ms": 1}\n{"ms": 2, "note": "ß"}\n');
    await page.getByText('More options').click();
    await page.getByLabel('Priority').fill('1000');
    await page.getByLabel('Callback URL').fill('nowhere');
    await page.getByRole('button', { name: 'Submit the job' }).click();
    await page.getByText('expected a whole number from -100 to 100').waitFor();
    await page.getByText('expected a URL that begins with').waitFor();
    await page.getByLabel('Priority').fill('7');
    await page.getByLabel('Callback URL').fill('');
    await page.getByLabel('Metadata').fill('{"from": "a form"}');
    await page.getByRole('button', { name: 'Submit the job' }).click();
    expect(await jobOf(page)).toMatchObject({ total: 2, priority: 7, metadata: { from: 'a form' } });
  }, 120_000);

  it('reads a file of 60,000 lines in pieces, and characters that end up in two of them', async () => {
    const page = await dashboard().pageOf(admin, '/submit');
    await page.getByRole('combobox', { name: 'Task type' }).selectOption('demo.sleep');
    // Characters of three bytes: pieces of a power of two cut some of them.
    const lines = Array.from({ length: 60_000 }, (_, at) => `0;${'€'.repeat(1 + (at % 3))}${at}`);
    await page.setInputFiles('input[type=file]', {
      name: 'many.csv',
      mimeType: 'text/csv',
      buffer: Buffer.from(`\uFEFFms;note\n${lines.join('\n')}\n`),
    });
    await page.getByText('of CSV').waitFor();
    await page.getByLabel('Name', { exact: true }).fill('Many');
    await page.getByRole('button', { name: 'Submit the job' }).click();
    const job = await jobOf(page);
    expect(job).toMatchObject({ name: 'Many', total: 60_000 });
    const chunks = await dashboard().app.prisma.$queryRaw<{ broken: bigint; tasks: bigint }[]>`
      SELECT count(*) FILTER (WHERE tasks::text LIKE '%' || chr(65533) || '%') AS broken, sum(size) AS tasks
        FROM task_chunks WHERE job_id = ${job.id}::uuid`;
    expect(Number(chunks[0]?.broken)).toBe(0);
    await dashboard().app.post(`/api/v2/jobs/${job.id}/kill`, admin, undefined);
  }, 120_000);

  it('says what a text that is no task list lacks', async () => {
    const page = await dashboard().pageOf(admin, '/submit');
    await page.getByLabel('Tasks as CSV, NDJSON or JSON').fill('{"jobs": \n[1]}');
    await page.getByText('Expected an array of tasks, or an object with an array called tasks').waitFor();
    await page.getByLabel('Tasks as CSV, NDJSON or JSON').fill('[{"ms": 1}, ]');
    await page.getByText('This is not JSON').waitFor();
  }, 60_000);
});
