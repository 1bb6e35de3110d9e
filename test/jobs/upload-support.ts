import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Answer, TestApp, TestUser } from '../support/app.js';
import { authorizationOf } from '../http/http-support.js';

export const NDJSON = { 'content-type': 'application/x-ndjson' };

type Body = string | Buffer | ReadableStream<Uint8Array>;

export const lines = (total: number, line: (n: number) => unknown = (n) => ({ n })): string =>
  Array.from({ length: total }, (_, n) => `${JSON.stringify(line(n))}\n`).join('');

/** POST /api/v2/jobs.json of lines, as `test.anything` unless the query says otherwise. */
export async function upload(
  app: TestApp,
  user: TestUser,
  body: Body,
  query: Record<string, string> = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  const search = new URLSearchParams({ type: 'test.anything', ...query });
  const response = await fetch(`${app.origin}/api/v2/jobs.json?${search.toString()}`, {
    method: 'POST',
    headers: { ...NDJSON, authorization: authorizationOf(user), ...headers },
    body,
    ...(body instanceof ReadableStream && { duplex: 'half' }),
  });
  const answer = await response.text();
  return { status: response.status, headers: response.headers, text: answer, body: JSON.parse(answer) };
}

/** An upload over a bare connection, as fast or slow as the test wants it. */
export class SlowUpload {
  readonly #answer: Promise<string>;

  private constructor(readonly socket: Socket) {
    this.#answer = text(socket).catch(() => '');
  }

  /** Sends the head of the request, with a chunked body to follow. */
  static async start(
    origin: string,
    authorization: string,
    query = 'type=test.anything',
    headers: readonly string[] = ['Connection: close'],
  ): Promise<SlowUpload> {
    const { hostname, port } = new URL(origin);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    const upload = new SlowUpload(socket);
    const head = [
      `POST /api/v2/jobs.json?${query} HTTP/1.1`,
      'Host: localhost',
      `Authorization: ${authorization}`,
      'Content-Type: application/x-ndjson',
      'Transfer-Encoding: chunked',
      ...headers,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    return upload;
  }

  /** Sends bytes, and waits until the kernel has them. */
  async send(bytes: string | Buffer): Promise<void> {
    const piece = Buffer.from(bytes);
    await new Promise<void>((resolve) => {
      this.socket.write(`${piece.length.toString(16)}\r\n`);
      this.socket.write(piece);
      this.socket.write('\r\n', () => resolve());
    });
  }

  /** Says that the body is whole, and reads the answer. */
  async end(): Promise<{ status: number; text: string }> {
    this.socket.write('0\r\n\r\n');
    return this.answer();
  }

  /** What the server answers, whether the body is whole or not; read until the connection ends. */
  async answer(): Promise<{ status: number; text: string }> {
    const answer = await this.#answer;
    return { status: Number(answer.split(' ', 2)[1]), text: answer };
  }

  /** The first bytes of an answer, while the connection stays. */
  async firstAnswer(): Promise<string> {
    const [bytes] = (await once(this.socket, 'data')) as [Buffer];
    return bytes.toString();
  }

  cut(): void {
    this.socket.destroy();
  }
}

/** Rows of every table that a submission writes to. */
export async function traces(app: TestApp): Promise<Record<string, number>> {
  const [row] = await app.prisma.$queryRaw<Record<string, number>[]>`
    SELECT (SELECT count(*)::int FROM job_statuses) AS jobs, (SELECT count(*)::int FROM task_chunks) AS chunks,
           (SELECT count(*)::int FROM job_uploads) AS uploads, (SELECT count(*)::int FROM idempotency_keys) AS keys`;
  return row!;
}

export const NO_TRACES = { jobs: 0, chunks: 0, uploads: 0, keys: 0 };
