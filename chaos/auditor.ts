import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { printJobId } from '../src/jobs/job.js';
import { FINAL_RULES, rulesOf, SETTLING_RULES, type Rule } from './snapshot.js';
import type { Verdict } from './verdict.js';

const EVERY_MS = 700;
/** Working jobs, and those that have just ended: an end must leave nothing behind for a moment either. */
const LIVELY = `status = 'working' OR finished_at > clock_timestamp() - interval '2 seconds'`;
/** The sweeper parks the chunks of ended jobs twice a second; what deleted ones have left is removed with pauses. */
const SETTLE_MS = 60_000;

/** Looks into the tables past the service, while everything moves and when it is over. */
export class Auditor {
  constructor(
    private readonly sql: pg.Pool,
    private readonly verdict: Verdict,
  ) {}

  async watch(stop: AbortSignal): Promise<void> {
    const rules = rulesOf(LIVELY);
    while (!stop.aborted) {
      for (const rule of rules)
        if ((await this.#broken(rule)) !== null) this.verdict.count('looks into tables');
      await sleep(EVERY_MS);
    }
  }

  /** @param kept ids of all jobs that were accepted and not deleted */
  async conclude(kept: ReadonlySet<string>): Promise<void> {
    const byMs = Date.now() + SETTLE_MS;
    for (const rule of SETTLING_RULES)
      while (Date.now() < byMs && (await this.#rows(rule))?.length !== 0) await sleep(200);
    for (const rule of SETTLING_RULES) await this.#insist(rule);
    for (const rule of FINAL_RULES) await this.#insist(rule);
    const { rows } = await this.sql.query<{ id: string }>('SELECT id::text FROM job_statuses');
    const there = new Set(rows.map(({ id }) => printJobId(id)));
    const lost = [...kept].filter((id) => !there.has(id));
    const extra = [...there].filter((id) => !kept.has(id));
    if (lost.length > 0) this.verdict.violation('an accepted job is there', lost.join());
    if (extra.length > 0)
      this.verdict.violation('there is no job but those that were accepted and kept', extra.join());
    const { rows: counts } = await this.sql.query<Record<string, string>>(`
      SELECT (SELECT count(*) FROM tickets) AS tickets, (SELECT sum(revision) FROM tickets) AS revisions,
             (SELECT count(*) FROM job_results) AS results, (SELECT count(*) FROM job_statuses) AS jobs`);
    for (const [what, count] of Object.entries(counts[0] ?? {}))
      this.verdict.count(`at the end: ${what}`, Number(count));
  }

  async #insist(rule: Rule): Promise<void> {
    for (let times = 0; times < 5; times += 1) {
      if ((await this.#broken(rule)) !== null) return;
      await sleep(500);
    }
    this.verdict.violation('the tables can be read at the end', rule.rule);
  }

  /** @returns null when the database is away */
  async #broken(rule: Rule): Promise<boolean | null> {
    const rows = await this.#rows(rule);
    if (rows === null) return null;
    const [first] = rows;
    if (first) this.verdict.violation(rule.rule, `${rows.length} row(s), first ${JSON.stringify(first)}`);
    return first !== undefined;
  }

  async #rows(rule: Rule): Promise<object[] | null> {
    try {
      return (await this.sql.query<object>(rule.sql)).rows;
    } catch (error) {
      // A statement with a mistake in it must not pass for a database that is away.
      if (/^(42|22|21)/.test((error as { code?: string }).code ?? '')) throw error;
      return null;
    }
  }
}
