import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { waitFor } from '../support/wait-for.js';
import { JOBS, serve, sleepJob, STATUSES, type Served } from '../http/http-support.js';

let served: Served;
let url: string;
beforeAll(async () => {
  served = await serve({ role: 'all', env: { RESULTS_INLINE_MAX: '3' } });
  url = (await served.app.post(JOBS, served.user, sleepJob(5))).body.url;
  await waitFor(async () => (await served.app.get(url, served.user)).body.status === 'completed');
});
afterAll(() => served.stop());

const get = (path: string) => served.app.get(path, served.user);

const slept = (n: number) => ({
  ms: 0,
  note: `n${n}`,
  action: 'sleep',
  errors: '',
  success: true,
  status: 'Slept',
});

describe('a completed job of more results than fit inline', () => {
  test('gives the first of them, by position, and its whole progress', async () => {
    const { body } = await get(url);
    expect(body).toMatchObject({ total: 5, progress: 5, status: 'completed' });
    expect(body.results).toEqual([slept(0), slept(1), slept(2)]);
  });

  test('does so in show_many too, and gives none in the list', async () => {
    const { body } = await get(url);
    expect((await get(`/api/v2/job_statuses/show_many.json?ids=${body.id}`)).body.job_statuses).toEqual([
      body,
    ]);
    expect((await get(STATUSES)).body.job_statuses).toEqual([{ ...body, results: [] }]);
  });

  test('says when it completed, as the API family writes it', async () => {
    const { body } = await get(url);
    expect(body.message).toMatch(
      /^Completed at (Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} \d\d [\d:]{8} \+0000 \d{4}$/,
    );
    const full = (await get(`/api/v2/jobs/${body.id}.json`)).body;
    const said = new Date(body.message.replace('Completed at ', ''));
    expect(Math.abs(said.getTime() - Date.parse(full.finished_at))).toBeLessThan(1_000);
    expect(full).toMatchObject({
      counts: { succeeded: 5, failed: 0, retrying: 0, running: 0, pending: 0 },
      eta_seconds: null,
      message: body.message,
    });
  });
});
