import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { request, type IncomingMessage } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { OpenApiService } from '../../src/openapi/openapi.service.js';
import { authorizationOf, JOBS, rowsLeft, serve, sleepJob, type Served } from '../http/http-support.js';
import { fuzzRequests, type FuzzDocument, type FuzzRequest } from './fuzz-requests.js';

/** FUZZ_REQUESTS sets how many, FUZZ_SEED repeats a run. */
const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 1_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
/** No answer takes longer, held ones excepted, which are not asked for. */
const HANG_MS = 10_000;
/** Wrong credentials are throttled by address: they come from another one than the right ones. */
const FORGERS_ADDRESS = '127.0.0.9';

let served: Served;
let authorization: string;
const ids: string[] = [];
beforeAll(async () => {
  // Without workers: there is a task that kills its process.
  served = await serve({
    env: {
      MAX_WORKING_JOBS: '1000000',
      MAX_TASK_BYTES: '5000',
      MAX_BODY_BYTES: '60000',
      MAX_UPLOAD_BYTES: '60000',
      CALLBACK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    },
  });
  authorization = authorizationOf(served.user);
  for (let n = 0; n < 5; n += 1)
    ids.push((await served.app.post(JOBS, served.user, sleepJob(3))).body.id as string);
  await served.app.post(`/api/v2/jobs/${ids[0]}/kill.json`, served.user, undefined);
  ids.push('1', '2');
});
afterAll(() => served.stop());

interface FuzzAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function send(one: FuzzRequest): Promise<FuzzAnswer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${HANG_MS} ms`)), HANG_MS);
    const isForged = one.credentials === 'forged';
    const sent = request(
      served.app.origin + '/',
      {
        method: one.method,
        path: one.target,
        agent: false,
        headers: {
          ...one.headers,
          ...(one.credentials === 'right' && { authorization }),
          ...(isForged && { authorization: one.authorization }),
          ...(one.body && one.pieces === 1 && { 'content-length': one.body.length }),
        },
        ...(isForged && { localAddress: FORGERS_ADDRESS }),
      },
      (response) => {
        read(response)
          .then(resolve, reject)
          .finally(() => {
            clearTimeout(timer);
            sent.destroy();
          });
      },
    );
    sent.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    write(sent, one).catch(reject);
  });
}

async function write(to: ReturnType<typeof request>, { body, pieces }: FuzzRequest): Promise<void> {
  if (!body) {
    to.end();
    return;
  }
  const size = Math.ceil(body.length / pieces) || 1;
  for (let from = 0; from < body.length; from += size) {
    to.write(body.subarray(from, from + size));
    // A turn of the event loop between the pieces, so that each is a packet of its own.
    for (let turns = 0; turns < 3 && pieces > 1; turns += 1) await turn();
  }
  to.end();
}

/** Events of a working job have no end: the first is enough. */
async function read(response: IncomingMessage): Promise<FuzzAnswer> {
  const type = response.headers['content-type'] ?? '';
  let text = '';
  for await (const piece of response) {
    text += String(piece);
    if (type.startsWith('text/event-stream')) break;
  }
  return { status: response.statusCode ?? 0, type, text };
}

test(`${REQUESTS} requests derived from the OpenAPI document are done or refused as it says`, async () => {
  const document = JSON.parse(served.app.app.get(OpenApiService).text()) as FuzzDocument;
  const seen = new Map<number, number>();
  let rows = await rowsLeft(served.app);
  await fc.assert(
    fc.asyncProperty(
      fuzzRequests(document, () => ids, { submitJob: sleepJob(3) }),
      async (one) => {
        const { status, type, text } = await send(one);
        seen.set(status, (seen.get(status) ?? 0) + 1);
        expect(status).toBeLessThan(500);
        // Each answer has been held against the document as it left.
        expect(served.app.contract.problems).toEqual([]);
        if (status >= 400) {
          expect(type).toBe('application/json; charset=utf-8');
          expect(JSON.parse(text)).toMatchObject({
            error: expect.stringMatching(/^[A-Z]\w+$/),
            description: expect.stringMatching(/.{3,}/),
          });
          expect(text).not.toMatch(/node_modules|at \w+ \(|SELECT |INSERT |prisma|postgres/i);
        }
        const now = await rowsLeft(served.app);
        // A refused request leaves nothing behind; what is left of a deleted job goes by and by.
        if (status >= 400) expect(now).toBeLessThanOrEqual(rows);
        if (status === 202) ids.push(String(/[0-9a-f]{32}/.exec(text)));
        rows = now;
      },
    ),
    { numRuns: REQUESTS, seed: SEED, endOnFailure: true },
  );
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  // The requests were neither all refused nor all done.
  const certain = REQUESTS < 5_000 ? [200, 404, 422] : [200, 202, 400, 401, 404, 422];
  for (const status of certain) expect([status, (seen.get(status) ?? 0) > 0]).toEqual([status, true]);
}, 600_000);
