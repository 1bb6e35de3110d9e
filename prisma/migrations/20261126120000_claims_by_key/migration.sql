-- The claim's writes, too, look their rows up by key, whatever the planner takes for the number of rows. A table of chunks that was vacuumed
-- while it was empty, as it is whenever nothing is to do, counts as one that has none. Then the claim's UPDATE was planned the other way
-- around, went through all chunks there were, and through what it claims once for each of them: a million tasks took 1.35 times as long.
-- The turns were in the same danger. An equality with an array of one cannot be merged, so no order of an index is of any use, and of all
-- plans only the look by key is left; and an EXISTS, which may be answered by a hash of all ready chunks, is a look at the first one.

CREATE OR REPLACE FUNCTION claim_chunks(
  -- One element a type that may be claimed.
  types text[], lanes boolean[], wholes boolean[], tasks_places float8[], tasks_at_once int[], type_limits int[],
  account_limit int, places_free float8, lanes_free int, chunks_max int, lease_ms int, worker_name text
) RETURNS TABLE (
  -- Chunks that might have been claimed; whether suspects of one task wait; then the chunk, and what must be known of its job.
  candidates int, suspects boolean, chunk task_chunks, max_attempts smallint, task_timeout_seconds int,
  started_at timestamptz, ordered boolean
) LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  -- Accounts that are looked at, of each type: those whose turn is next.
  turns_max CONSTANT int := 32;
  -- Chunks that are looked at, at least so many of each account: more than are taken, since others may have their hands on some.
  chunks_seen CONSTANT int := 64;
  chunks_seen_each CONSTANT int := 8;
  is_limited CONSTANT boolean := account_limit IS NOT NULL OR array_remove(type_limits, NULL) <> '{}';
BEGIN
  RETURN QUERY
  WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(types, lanes, wholes, tasks_places, tasks_at_once, type_limits)
      AS wanted (type, lane, whole, task_places, at_once, type_limit)
  ), busy AS MATERIALIZED (
    SELECT type, account_id, sum(slots) AS slots FROM task_chunks WHERE state = 'leased' AND is_limited
     GROUP BY type, account_id
  ), turn AS MATERIALIZED (
    SELECT t.*, lane, whole, task_places, at_once,
           type_limit - coalesce((SELECT sum(slots) FROM busy b WHERE b.type = t.type), 0) AS type_left,
           account_limit - coalesce((SELECT sum(slots) FROM busy b WHERE b.account_id = t.account_id), 0) AS account_left,
           t.place - min(t.place) OVER (PARTITION BY t.type) AS lag, count(*) OVER (PARTITION BY t.type) AS turns
      FROM wanted CROSS JOIN LATERAL (
        SELECT type, account_id, place, woken FROM turns
         WHERE is_waiting AND turns.type = wanted.type ORDER BY place, account_id LIMIT turns_max) AS t
  ), best AS MATERIALIZED (
    -- Each chunk starts where its account's place and the account's chunks before it put it.
    SELECT turn.*, c.*, least(at_once, c.size) AS need,
           min(lag) OVER (PARTITION BY turn.account_id)
             + sum(c.size) OVER (PARTITION BY turn.account_id
                 ORDER BY c.priority DESC, c.job_id, c.first_position, c.id ROWS UNBOUNDED PRECEDING) - c.size AS start
      FROM turn CROSS JOIN LATERAL (
        SELECT c.job_id, c.id, c.state, c.priority, c.first_position, c.size
          FROM task_chunks c CROSS JOIN LATERAL (
            SELECT status, paused, ordered FROM job_statuses WHERE id = c.job_id LIMIT 1) AS job
         WHERE c.type = turn.type AND c.account_id = turn.account_id AND c.state = 'ready' AND NOT (c.suspect AND c.size = 1)
           AND job.status = 'working' AND NOT job.paused
           -- Of a job whose tasks have an order, the first one there is.
           AND (NOT job.ordered OR c.first_position = (SELECT min(first_position) FROM task_chunks WHERE job_id = c.job_id))
         ORDER BY c.priority DESC, c.job_id, c.first_position, c.id
         LIMIT greatest(chunks_seen_each, chunks_seen / turn.turns)) AS c
     WHERE coalesce(type_left, 1) > 0 AND coalesce(account_left, 1) > 0
  ), free AS MATERIALIZED (
    SELECT sorted.*
      FROM (SELECT * FROM best ORDER BY start, priority DESC, start + size, job_id, first_position, id) AS sorted
           CROSS JOIN LATERAL (
             SELECT FROM task_chunks c
              WHERE c.job_id = sorted.job_id AND c.id = sorted.id AND c.state = sorted.state AND NOT (c.suspect AND c.size = 1)
                FOR UPDATE SKIP LOCKED) AS held
     LIMIT chunks_max
  ), within_account AS (
    SELECT *, account_left - sum(need) OVER (PARTITION BY account_id ORDER BY start, priority DESC, start + size, job_id,
                                               first_position, id ROWS UNBOUNDED PRECEDING) + need AS of_account
      FROM free
  ), within_type AS (
    SELECT *, type_left - sum(need) OVER (PARTITION BY type ORDER BY start, priority DESC, start + size, job_id,
                                            first_position, id ROWS UNBOUNDED PRECEDING) + need AS of_type
      FROM within_account WHERE coalesce(of_account, 1) > 0
  ), slotted AS (
    SELECT *, least(need, of_account, of_type) AS slots FROM within_type WHERE coalesce(of_type, 1) > 0
  ), sized AS (
    SELECT *, CASE WHEN whole THEN 1 WHEN slots < need THEN slots * task_places ELSE size * task_places END AS places
      FROM slotted
  ), placed AS (
    SELECT *, sum(places) OVER in_order - places AS before, count(*) FILTER (WHERE lane) OVER in_order AS lanes_taken
      FROM sized
    WINDOW in_order AS (ORDER BY start, priority DESC, start + size, job_id, first_position, id ROWS UNBOUNDED PRECEDING)
  ), claimed AS (
    UPDATE task_chunks c
       SET state = 'leased', lease_id = gen_random_uuid(), worker = worker_name, leased_at = clock_timestamp(),
           lease_expires_at = clock_timestamp() + lease_ms * interval '1 millisecond', slots = placed.slots
      FROM placed
     WHERE c.job_id = ANY (ARRAY[placed.job_id]) AND c.id = placed.id
       AND placed.before < places_free AND (NOT placed.lane OR placed.lanes_taken <= lanes_free)
    RETURNING c.type, c.account_id, c.job_id, c.id, c.priority, c.first_position, c.size, placed.start, c AS chunk
  ), served AS (
    SELECT type, account_id, sum(size) AS tasks FROM claimed GROUP BY type, account_id
  -- What the claim leaves behind of the turns that it saw. An account that was served moves on by as many tasks. One that has
  -- nothing ready leaves the queue, unless it was woken since this statement began. One that has, but may run none of it (its
  -- job has an order, or its limit is reached) goes behind the virtual time, so that others are not hidden behind it.
  -- Turns are written only where several accounts wait: one alone pays for none.
  ), seen AS (
    SELECT turn.type, turn.account_id, turn.place, turn.turns, turn.woken, served.tasks,
           EXISTS (SELECT FROM best b WHERE b.type = turn.type AND b.account_id = turn.account_id) AS has_best,
           coalesce((SELECT at FROM virtual_times v WHERE v.type = turn.type), 0) AS now
      FROM turn LEFT JOIN served USING (type, account_id)
  ), judged AS MATERIALIZED (
    SELECT *, has_best OR (
             SELECT true FROM task_chunks c WHERE c.type = seen.type AND c.account_id = seen.account_id
                AND state = 'ready' AND NOT (suspect AND size = 1) LIMIT 1) IS NOT NULL AS has_ready
      FROM seen
  ), locked AS MATERIALIZED (
    SELECT t.type, t.account_id, judged.tasks, judged.now, judged.has_ready, judged.has_ready OR t.woken <> judged.woken AS stays
      FROM judged JOIN turns t ON t.type = ANY (ARRAY[judged.type]) AND t.account_id = ANY (ARRAY[judged.account_id])
     WHERE NOT has_ready OR (turns > 1 AND (tasks > 0 OR (NOT has_best AND judged.place <= now)))
     ORDER BY judged.type, judged.account_id FOR UPDATE OF t
  ), moved AS (
    UPDATE turns t
       SET is_waiting = locked.stays,
           place = CASE WHEN tasks > 0 THEN t.place + tasks WHEN has_ready THEN greatest(t.place, now + 1) ELSE t.place END
      FROM locked WHERE t.type = ANY (ARRAY[locked.type]) AND t.account_id = ANY (ARRAY[locked.account_id])
    RETURNING t.type
  ), advanced AS (
    INSERT INTO virtual_times AS v (type, at)
    SELECT type, max(place) FROM seen
     WHERE turns > 1 AND tasks > 0 AND (SELECT count(*) FROM moved) > 0
     GROUP BY type HAVING max(place) > max(now) ORDER BY type
    ON CONFLICT (type) DO UPDATE SET at = greatest(v.at, excluded.at)
  )
  SELECT (SELECT count(*)::int FROM best),
         EXISTS (SELECT FROM task_chunks WHERE state = 'ready' AND suspect AND size = 1 AND type = ANY(types)),
         claimed.chunk, job.max_attempts, job.task_timeout_seconds, job.started_at::timestamptz, job.ordered
    FROM (VALUES (1)) AS always LEFT JOIN (
           claimed CROSS JOIN LATERAL (
             SELECT max_attempts, task_timeout_seconds, started_at, ordered FROM job_statuses WHERE id = claimed.job_id LIMIT 1
           ) AS job) ON true
   ORDER BY claimed.start, claimed.priority DESC, claimed.start + claimed.size, claimed.job_id, claimed.first_position, claimed.id;
END $$;
