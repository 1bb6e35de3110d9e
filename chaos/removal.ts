import type { Client } from './client.js';
import type { Verdict } from './verdict.js';
import type { JobWatch } from './watched-job.js';

/** Deletes an ended job, and sees that it is gone wherever one may ask for it. */
export async function remove(client: Client, watch: JobWatch, verdict: Verdict): Promise<void> {
  const job = `/api/v2/jobs/${watch.job.id}`;
  watch.mayBeGone = true;
  const { status, text, isRepeated } = await client.insist({ method: 'DELETE', path: `${job}.json` });
  // One that was asked before may have been done, and its answer lost.
  if (status !== 204 && !(status === 404 && isRepeated)) {
    verdict.violation('an ended job can be deleted', `${watch.job.id}: ${status} ${text}`);
    return;
  }
  watch.isGone = true;
  verdict.count('jobs deleted');
  for (const path of [watch.path, `${job}.json`, `${job}/results.json`, `${job}/events`]) {
    const answer = await client.insist({ method: 'GET', path });
    if (answer.status !== 404)
      verdict.violation('a deleted job is gone', `${path}: ${answer.status} ${answer.text.slice(0, 200)}`);
  }
}
