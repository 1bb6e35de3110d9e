import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { RequestFilteringHttpAgent, RequestFilteringHttpsAgent } from 'request-filtering-agent';
import type { Message } from './callback.message.js';
import { outcomeOfAnswer, outcomeOfError, tooSlow, type Outcome } from './callback-outcome.js';

/** From the look-up of the host to the end of the answer. */
const LIMIT_MS = 10_000;
/** Of an answer's body. A short one is read, since some receivers take a connection that is closed early for a failure. */
const READ_BYTES = 16 * 1024;

/**
 * Posts messages to the URLs of strangers. The agents look at each address that a connection is about to be made to, so that a
 * name that stood for another address a moment ago does not help. No redirect is followed, no proxy used and no connection
 * kept.
 */
export class CallbackPost {
  readonly #agents: { readonly http: http.Agent; readonly https: https.Agent };

  constructor(
    allowPrivate: boolean,
    private readonly limitMs = LIMIT_MS,
  ) {
    const options = { keepAlive: false, allowPrivateIPAddress: allowPrivate };
    this.#agents = {
      http: new RequestFilteringHttpAgent(options),
      https: new RequestFilteringHttpsAgent(options),
    };
  }

  /** @param cutOff ends the request when it aborts @returns what came of it; never throws */
  async send(url: string, message: Message, cutOff: AbortSignal): Promise<Outcome> {
    const end = new AbortController();
    const abort = () => end.abort();
    const timer = setTimeout(abort, this.limitMs);
    cutOff.addEventListener('abort', abort);
    try {
      if (cutOff.aborted) return { is: 'cut-off' };
      return await this.#send(new URL(url), message, end.signal);
    } catch (error) {
      if (cutOff.aborted) return { is: 'cut-off' };
      return end.signal.aborted ? tooSlow(this.limitMs) : outcomeOfError(error, isAddress(url));
    } finally {
      cutOff.removeEventListener('abort', abort);
      clearTimeout(timer);
    }
  }

  #send(url: URL, { headers, body }: Message, signal: AbortSignal): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const isSecure = url.protocol === 'https:';
      const request = (isSecure ? https : http).request(url, {
        method: 'POST',
        headers,
        signal,
        agent: isSecure ? this.#agents.https : this.#agents.http,
      });
      let outcome: Outcome | null = null;
      // Once the status has come, it counts, whatever becomes of the rest.
      const settle = (error = new Error('closed without an answer')) =>
        outcome ? resolve(outcome) : reject(error);
      request.on('error', settle);
      request.on('close', () => settle());
      request.on('response', (response) => {
        outcome = outcomeOfAnswer(response.statusCode ?? 0, response.headers['retry-after']);
        let read = 0;
        response.on('data', (bytes: Buffer) => {
          read += bytes.length;
          if (read > READ_BYTES) response.destroy();
        });
        response.on('error', settle);
        response.on('end', () => settle());
      });
      request.end(body);
    });
  }
}

/** Whether the host is an address and not a name. */
function isAddress(url: string): boolean {
  const { hostname } = new URL(url);
  return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}
