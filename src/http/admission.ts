import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../config/config.js';
import { busy } from '../errors.js';

export type AdmissionLimits = Pick<Config, 'MAX_PENDING_WRITES' | 'MAX_PENDING_BYTES' | 'MAX_UPLOADS'>;

/** What a body counts that has not said how long it is, until it is there. */
const UNANNOUNCED_BYTES = 256 * 1024;
/** JSON is seldom deflated to less than a tenth. */
const DEFLATED = 10;

/**
 * How much may be in work at once of what writes. The surplus is refused before its body is read, which costs a hundredth of what
 * a submission does; what is let in has its answer within seconds. Reads are not counted: they are quick, and those that
 * wait (`Prefer`, events) are many and cheap.
 *
 * Not by the delay of the event loop or the size of the process: one honest body of 32 MiB stops the loop for longer than any
 * useful limit, and garbage that nobody has collected yet is no load.
 */
export class Admission {
  #writes = 0;
  #uploads = 0;
  #bytes = 0;
  readonly #charged = new WeakMap<FastifyRequest, number>();

  constructor(private readonly limits: AdmissionLimits) {}

  /** @param isUpload whether the request's body is streamed */
  guard(instance: FastifyInstance, isUpload: (request: FastifyRequest) => boolean): void {
    // After all that is refused by its head alone, so that nobody without credentials takes a place.
    instance.addHook('preParsing', (request, reply, payload, done) => {
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      if (isRead || reply.raw.destroyed) {
        done(null, payload);
        return;
      }
      const leave = isUpload(request) ? this.#enterUpload() : this.#enterWrite(request);
      if (leave) reply.raw.once('close', leave);
      done(leave ? null : busy(), payload);
    });
  }

  /** The whole body is there: now it counts what it has. */
  measured(request: FastifyRequest, bytes: number): void {
    this.#charge(request, bytes);
  }

  #enterUpload(): (() => void) | null {
    if (this.#uploads >= this.limits.MAX_UPLOADS) return null;
    this.#uploads += 1;
    return () => (this.#uploads -= 1);
  }

  #enterWrite(request: FastifyRequest): (() => void) | null {
    const bytes = expectedBytes(request);
    // Alone, any body may come that MAX_BODY_BYTES lets in.
    const isTooMuch = this.#bytes > 0 && this.#bytes + bytes > this.limits.MAX_PENDING_BYTES;
    if (isTooMuch || this.#writes >= this.limits.MAX_PENDING_WRITES) return null;
    this.#writes += 1;
    this.#charge(request, bytes);
    return () => {
      this.#writes -= 1;
      this.#charge(request, 0);
    };
  }

  #charge(request: FastifyRequest, bytes: number): void {
    this.#bytes += bytes - (this.#charged.get(request) ?? 0);
    this.#charged.set(request, bytes);
  }
}

function expectedBytes({ headers }: FastifyRequest): number {
  const announced = headers['content-length'];
  if (announced === undefined) return headers['transfer-encoding'] === undefined ? 0 : UNANNOUNCED_BYTES;
  const isDeflated = (headers['content-encoding'] ?? 'identity') !== 'identity';
  return Number(announced) * (isDeflated ? DEFLATED : 1);
}
