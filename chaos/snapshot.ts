/**
 * What must hold of the tables at every commit, each rule a statement of its own and so one snapshot. A row of its answer is a
 * violation.
 */
export interface Rule {
  readonly rule: string;
  readonly sql: string;
}

/** `positions`: the positions of the chunks of `job`, a row each, with whether they have a result. */
const withPositions = (jobs: string): string => `
  WITH job AS MATERIALIZED (SELECT * FROM job_statuses WHERE ${jobs}),
  positions AS MATERIALIZED (
    SELECT c.job_id, c.id, c.recorded, p.position
      FROM task_chunks c JOIN job ON job.id = c.job_id
     CROSS JOIN LATERAL (
       SELECT unnest(c.positions) AS position
       UNION ALL
       SELECT generate_series(c.first_position, c.first_position + c.size - 1) WHERE cardinality(c.positions) = 0
     ) AS p
  )`;

export const rulesOf = (jobs: string): Rule[] => [
  {
    rule: 'progress and failed are the counts of the results',
    sql: `WITH job AS MATERIALIZED (SELECT * FROM job_statuses WHERE ${jobs})
      SELECT id, progress, failed, counted.* FROM job,
        LATERAL (SELECT count(*) AS results, count(*) FILTER (WHERE NOT success) AS failures
                   FROM job_results WHERE job_id = job.id) AS counted
       WHERE progress <> results OR failed <> failures`,
  },
  {
    rule: 'no position is in two chunks',
    sql: `${withPositions(jobs)}
      SELECT job_id, position, count(*) FROM positions GROUP BY job_id, position HAVING count(*) > 1`,
  },
  {
    rule: 'every position without a result is in a chunk, unless its job is completed',
    sql: `${withPositions(jobs)}
      SELECT job.id, job.status, job.total, min(n) AS first, count(*)
        FROM job CROSS JOIN LATERAL generate_series(0, job.total - 1) AS n
       WHERE NOT EXISTS (SELECT 1 FROM job_results r WHERE r.job_id = job.id AND r.index = n)
         AND NOT EXISTS (SELECT 1 FROM positions p WHERE p.job_id = job.id AND p.position = n)
       GROUP BY job.id, job.status, job.total`,
  },
  {
    rule: 'a chunk knows how many of its positions have a result',
    sql: `${withPositions(jobs)}
      SELECT p.job_id, p.id, p.recorded, count(r.index) AS results
        FROM positions p LEFT JOIN job_results r ON r.job_id = p.job_id AND r.index = p.position
       GROUP BY p.job_id, p.id, p.recorded HAVING p.recorded <> count(r.index)`,
  },
];

/** Of the whole run, a moment after the last end. */
export const SETTLING_RULES: readonly Rule[] = [
  {
    rule: 'no chunk is left but those kept of killed and failed jobs',
    sql: `SELECT c.job_id, c.id, c.state, j.status FROM task_chunks c LEFT JOIN job_statuses j ON j.id = c.job_id
           WHERE j.status IS NULL OR j.status NOT IN ('killed', 'failed') OR c.state <> 'parked'`,
  },
  { rule: 'nothing that is deleted is left', sql: 'SELECT job_id, removed_below FROM deleted_jobs' },
];

/** Of the whole run, when nothing moves any more. */
export const FINAL_RULES: readonly Rule[] = [
  ...rulesOf('true'),
  {
    rule: 'nothing works any more when all has ended',
    sql: `SELECT id, type, progress, total FROM job_statuses WHERE status = 'working'`,
  },
  { rule: 'no upload is left', sql: 'SELECT job_id, lease_expires_at FROM job_uploads' },
  {
    rule: 'no position has results beyond its job',
    sql: `SELECT r.job_id, r.index FROM job_results r
      LEFT JOIN job_statuses j ON j.id = r.job_id WHERE j.id IS NULL OR r.index >= j.total LIMIT 10`,
  },
  {
    rule: 'every ticket was made by exactly one result, and every such result made one',
    sql: `WITH made AS (
        SELECT (r.result->>'id')::bigint AS id, count(*) AS times FROM job_results r
          JOIN job_statuses j ON j.id = r.job_id WHERE j.type = 'tickets.create' AND r.success GROUP BY 1
      ), gone AS (
        SELECT (r.result->>'id')::bigint AS id, count(*) AS times FROM job_results r
          JOIN job_statuses j ON j.id = r.job_id WHERE j.type = 'tickets.delete' AND r.success GROUP BY 1
      )
      SELECT id, made.times AS made, gone.times AS gone, t.id IS NOT NULL AS there
        FROM made FULL JOIN gone USING (id) FULL JOIN tickets t USING (id)
       WHERE made.times IS DISTINCT FROM 1 OR coalesce(gone.times, 0) + (t.id IS NOT NULL)::int <> 1`,
  },
  {
    rule: "a ticket's revision is one and its successful updates",
    sql: `SELECT t.id, t.revision, coalesce(u.updates, 0) AS updates FROM tickets t LEFT JOIN (
        SELECT (r.result->>'id')::bigint AS id, count(*) AS updates FROM job_results r
          JOIN job_statuses j ON j.id = r.job_id WHERE j.type = 'tickets.update' AND r.success GROUP BY 1
      ) AS u USING (id) WHERE t.revision <> 1 + coalesce(u.updates, 0)`,
  },
  {
    rule: 'a disturbance costs no attempt',
    sql: `SELECT r.job_id, r.index, j.type, r.attempts, r.success, r.error, r.result::text FROM job_results r
        JOIN job_statuses j ON j.id = r.job_id
       WHERE r.attempts <> CASE WHEN j.type <> 'demo.fail' OR r.result->>'note' IS NULL THEN 1
                                ELSE least((r.result->>'note')::int + 1, j.max_attempts) END`,
  },
  {
    rule: 'no task fails but those that were told to',
    sql: `SELECT r.job_id, r.index, j.type, r.error, r.result::text FROM job_results r
        JOIN job_statuses j ON j.id = r.job_id
       WHERE NOT r.success AND r.error <> 'DemoFailure'
         AND NOT (r.error = 'RecordNotFound' AND j.type IN ('tickets.update', 'tickets.delete'))`,
  },
];
