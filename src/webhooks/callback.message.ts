import { Webhook } from 'standardwebhooks';
import { printJobId } from '../jobs/job.js';
import { statusJson } from '../jobs/job-status.view.js';
import type { DueCallback } from './callback.store.js';

/** What a receiver is sent, and how it knows who sent it: https://www.standardwebhooks.com. */

export interface Message {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * The body is the same at every try, and so is the id, by which the receiver knows a repetition; the time and the signature
 * are the try's. The results stay out: they may be a million, and the url says where they are.
 * @param secrets each signs, so that receivers may go over from one to the next when they like
 * @param publicUrl what the url in the body begins with; without it, as the submission was addressed
 */
export function callbackMessage(
  due: DueCallback,
  secrets: readonly string[],
  publicUrl: string | undefined,
): Message {
  const { finishedAt, status, claimedAt } = due;
  const data = statusJson({ ...due, id: due.jobId, results: '[]' }, publicUrl ?? due.origin);
  const body = `{"type":"job.${status}","timestamp":"${finishedAt.toISOString()}","data":${data}}`;
  const id = `msg_${printJobId(due.jobId)}`;
  const signatures = secrets.map((secret) => new Webhook(secret).sign(id, claimedAt, body));
  return {
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      'user-agent': 'Tally',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(claimedAt.getTime() / 1_000)),
      'webhook-signature': signatures.join(' '),
    },
    body,
  };
}
