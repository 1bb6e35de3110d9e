import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../config/config.js';
import { busy } from '../errors.js';
import { Backlog } from './backlog.js';
import { Turnstile } from './turnstile.js';

export type AdmissionLimits = Pick<Config, 'MAX_PENDING_WRITES' | 'MAX_PENDING_BYTES' | 'MAX_UPLOADS'>;

/** What a body counts that has not said how long it is, until it is there. */
const UNANNOUNCED_BYTES = 256 * 1024;
/** JSON is seldom deflated to less than a tenth. */
const DEFLATED = 10;

/**
 * Requests that a turn of the event loop takes up, most of them to be refused when there are so many. With 32 four thousand clients
 * had their refusals after 1.7 s in the middle, with 64 after 1.0 and with 128 after 0.9, while the jobs that were taken a
 * second went from 451 to 376 and 246 (bench/overload.ts).
 */
const REQUESTS_A_TURN = 64;
/** As many as submit at once. With one a turn, fifty clients of a process that had just started waited three seconds. */
const BODIES_A_TURN = 8;

/** What a request is charged with while it is in work. */
interface Charge {
  bytes: number;
  /** It waits for us, and not we for its body. */
  isWaiting: boolean;
}

/**
 * How much may be in work at once of what writes. The surplus is refused before its body is read; what is let in has its answer
 * within seconds. Reads are not counted: they are quick, and those that wait (`Prefer`, events) are many and cheap.
 *
 * Not by the delay of the event loop or the size of the process: one honest body of 32 MiB stops the loop for longer than any
 * useful limit, and garbage that nobody has collected yet is no load.
 */
export class Admission {
  #writes = 0;
  #uploads = 0;
  #bytes = 0;
  readonly #backlog = new Backlog();
  readonly #charges = new WeakMap<FastifyRequest, Charge>();

  constructor(private readonly limits: AdmissionLimits) {}

  /** @param isUpload whether the request's body is streamed */
  guard(instance: FastifyInstance, isUpload: (request: FastifyRequest) => boolean): void {
    this.#standInLine(instance);
    const bodies = new Turnstile(instance.server, BODIES_A_TURN);
    // After all that is refused by its head alone, so that nobody without credentials takes a place.
    instance.addHook('preParsing', (request, reply, payload, done) => {
      if (isRead(request) || reply.raw.destroyed) {
        done(null, payload);
        return;
      }
      const leave = isUpload(request) ? this.#enterUpload() : this.#enterWrite(request);
      if (!leave) {
        done(busy(), payload);
        return;
      }
      reply.raw.once('close', () => leave(reply.statusCode < 500));
      if (expectedBytes(request) === 0) {
        done(null, payload);
        return;
      }
      bodies.pass((isLate) => {
        // A client that has gone meanwhile is told nothing.
        const isRefused = isLate || request.raw.socket.destroyed;
        const charge = this.#charges.get(request);
        if (charge && !isRefused) this.#setWaiting(charge, false);
        done(isRefused ? busy() : null, payload);
      });
    });
  }

  /**
   * What brings a body stands in line before anything is done for it. Its refusal as well: while those went at once, they were most
   * of what a turn did, and a connection among 4,000 was taken after twelve seconds.
   */
  #standInLine(instance: FastifyInstance): void {
    const requests = new Turnstile(instance.server, REQUESTS_A_TURN);
    instance.addHook('onRequest', (request, _, done) => {
      // What has no body, as a kill, does not wait behind what has one.
      if (isRead(request) || expectedBytes(request) === 0) {
        done();
        return;
      }
      requests.pass((isLate) => done(isLate || request.raw.socket.destroyed ? busy() : undefined));
    });
  }

  /** The whole body is there: now it counts what it has, and those that come later wait behind it. */
  measured(request: FastifyRequest, bytes: number): void {
    const charge = this.#charges.get(request);
    if (!charge) return;
    this.#bytes += bytes - charge.bytes;
    charge.bytes = bytes;
    this.#setWaiting(charge, true);
  }

  #setWaiting(charge: Charge, isWaiting: boolean, isAnswered = false): void {
    if (charge.isWaiting === isWaiting) return;
    charge.isWaiting = isWaiting;
    if (isWaiting) this.#backlog.enter();
    else this.#backlog.leave(isAnswered);
  }

  #enterUpload(): (() => void) | null {
    if (this.#uploads >= this.limits.MAX_UPLOADS || this.#backlog.isTooLong) return null;
    this.#uploads += 1;
    return () => (this.#uploads -= 1);
  }

  #enterWrite(request: FastifyRequest): ((isAnswered: boolean) => void) | null {
    const charge: Charge = { bytes: expectedBytes(request), isWaiting: false };
    // Alone, any body may come that MAX_BODY_BYTES lets in.
    const isTooMuch = this.#bytes > 0 && this.#bytes + charge.bytes > this.limits.MAX_PENDING_BYTES;
    if (isTooMuch || this.#writes >= this.limits.MAX_PENDING_WRITES) return null;
    if (charge.bytes > 0 && this.#backlog.isTooLong) return null;
    this.#writes += 1;
    this.#bytes += charge.bytes;
    this.#charges.set(request, charge);
    if (charge.bytes > 0) this.#setWaiting(charge, true);
    return (isAnswered) => {
      this.#charges.delete(request);
      this.#writes -= 1;
      this.#bytes -= charge.bytes;
      this.#setWaiting(charge, false, isAnswered);
    };
  }
}

const isRead = ({ method }: FastifyRequest): boolean => method === 'GET' || method === 'HEAD';

function expectedBytes({ headers }: FastifyRequest): number {
  const announced = headers['content-length'];
  if (announced === undefined) return headers['transfer-encoding'] === undefined ? 0 : UNANNOUNCED_BYTES;
  const isDeflated = (headers['content-encoding'] ?? 'identity') !== 'identity';
  return Number(announced) * (isDeflated ? DEFLATED : 1);
}
