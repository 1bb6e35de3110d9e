/** A stream of server-sent events, open until the server or the test closes it. */
export class EventStream {
  headers = new Headers();
  status = 0;
  isOver = false;
  readonly #client = new AbortController();
  readonly #reading: Promise<void>;

  /** @param take is given the text as it comes, in parts of any length */
  constructor(
    url: string,
    headers: Readonly<Record<string, string>>,
    private readonly take: (part: string) => void,
  ) {
    this.#reading = this.#read(url, headers);
    // Whoever waits for the end hears of it too.
    this.#reading.catch(() => undefined);
  }

  /** Until the server closes the stream. */
  over(): Promise<void> {
    return this.#reading;
  }

  async close(): Promise<void> {
    this.#client.abort();
    await this.#reading;
  }

  async #read(url: string, headers: Readonly<Record<string, string>>): Promise<void> {
    try {
      const response = await fetch(url, { headers, signal: this.#client.signal });
      this.headers = response.headers;
      this.status = response.status;
      const decoder = new TextDecoder();
      for await (const part of response.body ?? [])
        this.take(decoder.decode(part as Uint8Array, { stream: true }));
    } catch (error) {
      if (!this.#client.signal.aborted) throw error;
    } finally {
      this.isOver = true;
    }
  }
}
