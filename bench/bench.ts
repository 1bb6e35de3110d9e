import type pg from 'pg';
import { readFileSync } from 'node:fs';
import { postgresCpuSeconds } from './processes.js';
import { BenchService } from './service.js';

/** What a line of the table is measured with. */

export interface Row {
  readonly what: string;
  /** As it stands in the table. */
  readonly value: string;
  /** For the picture: what is compared within a group, the larger the better. */
  readonly bar?: { readonly group: string; readonly name: string; readonly value: number };
  readonly goal?: string;
}

export interface Line {
  /** By which it is asked for: `--only a,e`. */
  readonly key: string;
  /** @returns rows of the table, as they are there */
  readonly run: (bench: Bench) => AsyncGenerator<Row>;
}

export const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

export const quantile = (numbers: readonly number[], share: number): number =>
  [...numbers].sort((a, b) => a - b)[Math.ceil(numbers.length * share) - 1] ?? NaN;

export const whole = (n: number): string => Math.round(n).toLocaleString('en-US');

export class Bench {
  #postmaster = 0;

  constructor(
    readonly databaseUrl: string,
    readonly rounds: number,
    /** Tasks of a large job: a million, fewer for a quick look. */
    readonly large: number,
    readonly sql: pg.Client,
    /** Medians that other lines are compared with. */
    readonly medians = new Map<string, number>(),
  ) {}

  async median(measure: () => Promise<number>): Promise<number> {
    const numbers: number[] = [];
    for (let round = 0; round < this.rounds; round += 1) numbers.push(await measure());
    return median(numbers);
  }

  /** Starts a service on the database, for as long as `work` takes. */
  async with<T>(
    env: Readonly<Record<string, string>>,
    work: (service: BenchService) => Promise<T>,
  ): Promise<T> {
    const service = await BenchService.start({ DATABASE_URL: this.databaseUrl, ...env });
    try {
      return await work(service);
    } finally {
      await service.stop();
    }
  }

  async postgresCpu(): Promise<number> {
    if (this.#postmaster === 0) {
      const { rows } = await this.sql.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const stat = readFileSync(`/proc/${rows[0]!.pid}/stat`, 'utf8');
      this.#postmaster = Number(stat.split(') ')[1]?.split(' ')[1]);
    }
    return postgresCpuSeconds(this.#postmaster);
  }

  async set(settings: Readonly<Record<string, string | null>>): Promise<void> {
    for (const [name, value] of Object.entries(settings))
      await this.sql.query(
        value === null ? `ALTER SYSTEM RESET ${name}` : `ALTER SYSTEM SET ${name} = ${value}`,
      );
    await this.sql.query('SELECT pg_reload_conf()');
  }
}
