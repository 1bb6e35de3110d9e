import { batch, computed, effect, signal } from '@preact/signals';
import { TallyError } from 'tally/client';
import { taskTypes } from '../api/client.js';
import { sentenceOf } from '../api/sentence.js';
import type { TaskType } from '../api/types.js';
import { guessMapping, type Mapping } from './cells.js';
import { firstRows, lineMaker, rowsAt, toNdjson } from './convert.js';
import { optionsQuery } from './options.js';
import { readRefusal, type RefusedRow } from './refusal.js';
import { shapeOf } from './schema-fields.js';
import { openSource, type Source, type SourceRow } from './source.js';
import { upload } from './upload.js';

const PREVIEW_ROWS = 10;

export interface Input {
  readonly blob: Blob;
  /** Of the file; null: it was pasted. */
  readonly name: string | null;
}

export interface Opened {
  readonly source: Source;
  readonly preview: readonly SourceRow[];
}

export type Phase =
  { readonly name: 'editing' } | { readonly name: 'reading' | 'sending'; readonly fraction: number };

const EDITING: Phase = { name: 'editing' };

/** The form: what is chosen and read, how far its sending is, and what was said against it. */
export class Submission {
  readonly types = signal<readonly TaskType[]>([]);
  readonly type = signal('');
  readonly input = signal<Input | null>(null);
  readonly opened = signal<Opened | null>(null);
  readonly mapping = signal<Mapping>([]);
  readonly options = signal<Readonly<Record<string, string>>>({});
  readonly phase = signal<Phase>(EDITING);
  /** What is wrong as a whole. */
  readonly error = signal<string | null>(null);
  readonly optionErrors = signal<Readonly<Record<string, string>>>({});
  readonly refusedRows = signal<readonly RefusedRow[]>([]);
  readonly shape = computed(() =>
    shapeOf(this.types.value.find(({ type }) => type === this.type.value)?.schema ?? {}),
  );
  #sending = new AbortController();
  /** A second try of the same submission, after a cut, makes no second job. */
  #key = crypto.randomUUID();

  start(): () => void {
    taskTypes().then(
      (types) =>
        batch(() => {
          this.types.value = types;
          if (this.type.peek() === '') this.type.value = types[0]?.type ?? '';
        }),
      (error: unknown) => (this.error.value = sentenceOf(error)),
    );
    const stopOpening = effect(() => void this.#open(this.input.value));
    const stopMapping = effect(() => {
      this.mapping.value = guessMapping(this.opened.value?.source.columns ?? [], this.shape.value);
    });
    return () => {
      stopOpening();
      stopMapping();
      this.#sending.abort();
    };
  }

  /** Anything that was said is about what was there before. */
  change(change: () => void): void {
    batch(() => {
      change();
      this.error.value = null;
      this.optionErrors.value = {};
      this.refusedRows.value = [];
    });
    this.#key = crypto.randomUUID();
  }

  cancel(): void {
    this.#sending.abort();
  }

  /** @returns the id of the job; null: it was refused, or cancelled */
  async submit(): Promise<string | null> {
    const opened = this.opened.peek();
    if (!opened) {
      this.error.value = 'There is nothing to submit: paste tasks, or drop a file';
      return null;
    }
    this.#sending = new AbortController();
    try {
      return await this.#send(opened.source, this.#sending.signal);
    } catch (error) {
      if (!this.#sending.signal.aborted) await this.#refused(error, opened.source);
      return null;
    } finally {
      this.phase.value = EDITING;
    }
  }

  async #send(source: Source, aborted: AbortSignal): Promise<string> {
    batch(() => {
      this.error.value = null;
      this.optionErrors.value = {};
      this.refusedRows.value = [];
      this.phase.value = { name: 'reading', fraction: 0 };
    });
    const lineOf = lineMaker(source, this.mapping.peek(), this.shape.peek());
    const tasks = await toNdjson(
      source,
      lineOf,
      (fraction) => (this.phase.value = { name: 'reading', fraction }),
      aborted,
    );
    this.phase.value = { name: 'sending', fraction: 0 };
    return upload(
      { type: this.type.peek(), options: optionsQuery(this.options.peek()), tasks, key: this.#key },
      (fraction) => (this.phase.value = { name: 'sending', fraction }),
      aborted,
    );
  }

  async #refused(error: unknown, source: Source): Promise<void> {
    if (!(error instanceof TallyError)) {
      this.error.value = sentenceOf(error);
      return;
    }
    const { message, options, tasks } = readRefusal(error);
    const rows = await rowsAt(source, new Set(tasks.keys()));
    batch(() => {
      this.error.value = message;
      this.optionErrors.value = options;
      this.refusedRows.value = rows.map((row) => ({ row, complaints: tasks.get(row.position) ?? [] }));
    });
  }

  async #open(input: Input | null): Promise<void> {
    if (input === null) {
      this.opened.value = null;
      return;
    }
    try {
      const source = await openSource(input.blob, input.name);
      const preview = await firstRows(source, PREVIEW_ROWS);
      if (this.input.peek() === input) this.opened.value = { source, preview };
    } catch (error) {
      if (this.input.peek() !== input) return;
      this.opened.value = null;
      this.error.value = sentenceOf(error);
    }
  }
}
