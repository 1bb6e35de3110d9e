import { batch, effect, signal } from '@preact/signals';
import { client } from '../api/client.js';
import { sentenceOf } from '../api/sentence.js';
import type { Job, PageMeta, TaskResult } from '../api/types.js';

const PAGE_SIZE = 50;
/** How often the page of a working job is read again while results come. */
const RELOAD_MS = 1_500;

interface Place {
  readonly after?: string;
  readonly before?: string;
}

/**
 * The results of a job, a page at a time: whether there are ten or a million, this holds fifty. The cursor of a page is
 * the position of a task in base64url, so that one can also go to a position.
 */
export class ResultPages {
  readonly rows = signal<readonly TaskResult[]>([]);
  readonly meta = signal<PageMeta | null>(null);
  readonly onlyFailed = signal(false);
  /** Whether the rows are only those that failed: what is asked for comes a moment later. */
  readonly areFailed = signal(false);
  readonly error = signal<string | null>(null);
  readonly isLoading = signal(true);
  readonly #place = signal<Place>({});
  #asking = new AbortController();
  #reload: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly id: string) {}

  /** Reads the page whenever it is another one. */
  start(): () => void {
    const stop = effect(() => void this.#load(this.#place.value, this.onlyFailed.value));
    return () => {
      stop();
      clearTimeout(this.#reload);
      this.#asking.abort();
    };
  }

  get isFirst(): boolean {
    return this.#place.value.after === undefined && this.#place.value.before === undefined;
  }

  showFailed(onlyFailed: boolean): void {
    batch(() => {
      this.#place.value = {};
      this.onlyFailed.value = onlyFailed;
    });
  }

  first(): void {
    this.#place.value = {};
  }

  next(): void {
    const cursor = this.meta.peek()?.after_cursor;
    if (cursor) this.#place.value = { after: cursor };
  }

  previous(): void {
    const cursor = this.meta.peek()?.before_cursor;
    if (cursor) this.#place.value = { before: cursor };
  }

  /** @param index position of the task that is to be the first of the page */
  goTo(index: number): void {
    this.#place.value = index <= 0 ? {} : { after: btoa(String(index - 1)).replace(/=+$/, '') };
  }

  /** The job has moved: there may be more results than are shown, also between them. */
  moved(status: Job['status']): void {
    if (status !== 'working') {
      clearTimeout(this.#reload);
      this.#reload = undefined;
      void this.#load(this.#place.peek(), this.onlyFailed.peek());
      return;
    }
    this.#reload ??= setTimeout(() => {
      this.#reload = undefined;
      void this.#load(this.#place.peek(), this.onlyFailed.peek());
    }, RELOAD_MS);
  }

  async #load(place: Place, onlyFailed: boolean): Promise<void> {
    this.#asking.abort();
    const { signal: asking } = (this.#asking = new AbortController());
    this.isLoading.value = true;
    try {
      const filter = { size: PAGE_SIZE, ...place, ...(onlyFailed && { success: false }), signal: asking };
      const { items, meta } = await client.results(this.id, filter);
      if (asking.aborted) return;
      batch(() => {
        this.rows.value = items;
        this.areFailed.value = onlyFailed;
        this.meta.value = meta;
        this.error.value = null;
      });
    } catch (error) {
      if (!asking.aborted) this.error.value = sentenceOf(error);
    } finally {
      if (!asking.aborted) this.isLoading.value = false;
    }
  }
}
