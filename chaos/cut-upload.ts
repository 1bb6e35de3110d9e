import { request as open } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Request } from './client.js';

/** Sends a part of a streamed submission and cuts the connection, as a client does that dies. */
export async function cutUpload(client: Client, request: Request, share: number): Promise<void> {
  const body = Buffer.from(request.body ?? '');
  const sent = open(client.origin + request.path, {
    method: request.method,
    headers: {
      authorization: `Bearer ${client.token}`,
      'content-type': request.type,
      'idempotency-key': request.key,
      'content-length': body.length,
    },
    // A connection of its own, or the cut would hit requests that are none of its business.
    agent: false,
  });
  // It is cut in any case: that the service cut it first changes nothing.
  sent.on('error', () => undefined).on('response', (response) => response.resume());
  sent.write(body.subarray(0, Math.floor((body.length - 1) * share)));
  await sleep(300 * share);
  sent.destroy();
}
