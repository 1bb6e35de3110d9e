import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';

/**
 * The clients of a measurement, a process of their own: `load.ts` with what to ask as JSON on its standard input. Each keeps its connection
 * and asks again as soon as it has its answer. Written on bare sockets, since the clients share the machine with what they
 * measure: it takes a fraction of the processor that a client library takes, and so is not what limits a rate.
 */

export interface LoadRequest {
  readonly port: number;
  /** Asked in turn, each a path. */
  readonly paths: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  /** How long to go on asking. */
  readonly seconds?: number;
  /** Instead: how often to ask, over all connections. */
  readonly times?: number;
  /** What to send: then it is a POST. */
  readonly body?: string;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Bytes of a body, on average. */
  readonly bytes: number;
  /** Answers that were neither 200 nor 202. */
  readonly refused: number;
}

const END = Buffer.from('\r\n\r\n');

class Client {
  static readonly latencies: number[] = [];
  static bytes = 0;
  static refused = 0;
  /** How often to ask yet. */
  static left = Infinity;
  static asking = 0;
  readonly #socket: Socket;
  #askedAtMs = 0;
  #begun: Buffer = Buffer.alloc(0);
  /** Bytes of the answer that are still to come; −1: its head is. */
  #missing = -1;

  constructor(
    port: number,
    private readonly requests: readonly Buffer[],
    private turn: number,
  ) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('error', (error) => {
      throw error;
    });
    this.#socket.on('data', (piece: Buffer) => this.#read(piece));
    this.#ask();
  }

  #ask(): void {
    if (Client.left === 0) {
      if (Client.asking === 0) report();
      return;
    }
    Client.left -= 1;
    Client.asking += 1;
    this.turn = (this.turn + 1) % this.requests.length;
    this.#askedAtMs = performance.now();
    this.#socket.write(this.requests[this.turn]!);
  }

  #read(piece: Buffer): void {
    if (this.#missing < 0) {
      const bytes = this.#begun.length === 0 ? piece : Buffer.concat([this.#begun, piece]);
      const end = bytes.indexOf(END);
      this.#begun = end < 0 ? bytes : Buffer.alloc(0);
      if (end < 0) return;
      const head = bytes.toString('latin1', 0, end);
      if (!/^HTTP\/1\.1 20[02] /.test(head)) Client.refused += 1;
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      Client.bytes += length;
      this.#missing = length - (bytes.length - end - END.length);
    } else this.#missing -= piece.length;
    if (this.#missing > 0) return;
    this.#missing = -1;
    Client.asking -= 1;
    Client.latencies.push(performance.now() - this.#askedAtMs);
    this.#ask();
  }
}

let begunMs = 0;

function report(): void {
  const sorted = Float64Array.from(Client.latencies).sort();
  const quantile = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? NaN;
  const result: LoadResult = {
    perSecond: sorted.length / ((performance.now() - begunMs) / 1_000),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    bytes: Client.bytes / sorted.length,
    refused: Client.refused,
  };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
}

function run({ port, paths, headers, connections, seconds, times, body }: LoadRequest): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}\r\n`);
  const method = body === undefined ? 'GET' : 'POST';
  const requests = paths.map((path) =>
    Buffer.from(
      `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${lines.join('')}\r\n${body ?? ''}`,
    ),
  );
  Client.left = times ?? Infinity;
  begunMs = performance.now();
  for (let n = 0; n < connections; n += 1) new Client(port, requests, n);
  if (seconds !== undefined) setTimeout(report, seconds * 1_000);
}

let input = '';
for await (const piece of process.stdin.setEncoding('utf8')) input += piece as string;
run(JSON.parse(input) as LoadRequest);
