-- What a worker calls to lease chunks. Most of the time one account waits for one of its types, or none does, and no limit is to be kept:
-- then no turn is to be weighed against another, and its chunks are taken from the top of their index in one short statement. All else,
-- also the end of the wait, when nothing is found to take, is claim_chunks, whose fifteen steps take twice as long; on a service that had
-- nothing to do before, and so finds its code in no cache, two milliseconds.
-- The columns of a chunk and its job come one by one: as one value of a row type, the tasks would be copied three times.
CREATE FUNCTION lease_chunks(
  -- One element a type that may be claimed.
  types text[], lanes boolean[], wholes boolean[], tasks_places float8[], tasks_at_once int[], type_limits int[],
  account_limit int, places_free float8, lanes_free int, chunks_max int, lease_ms int, worker_name text
) RETURNS TABLE (
  -- As from claim_chunks.
  candidates int, suspects boolean,
  job_id uuid, id bigint, lease_id uuid, account_id int, type text, first_position int, size int, positions int[], tasks json,
  attempt smallint, suspect boolean, crashes smallint, survived smallint, alone boolean, slots int, recorded int,
  max_attempts smallint, task_timeout_seconds int, started_at timestamptz, ordered boolean
) LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  waiting int;
  -- The only one that waits: its type, as one of `types`, and its account.
  which int;
  who int;
BEGIN
  IF account_limit IS NULL AND array_remove(type_limits, NULL) = '{}' THEN
    SELECT count(*), min(n), min(account) INTO waiting, which, who
      FROM (SELECT n, account FROM unnest(types) WITH ORDINALITY AS wanted (type, n) CROSS JOIN LATERAL (
              SELECT account_id AS account FROM turns
               WHERE is_waiting AND turns.type = wanted.type ORDER BY place, account_id LIMIT 2) AS turn
             LIMIT 2) AS turns;
    IF waiting = 0 THEN
      RETURN QUERY
      SELECT 0, EXISTS (SELECT FROM task_chunks WHERE state = 'ready' AND suspect AND size = 1 AND type = ANY(types)),
             none.*, NULL::smallint, NULL::int, NULL::timestamptz, NULL::boolean
        FROM (VALUES (1)) AS always LEFT JOIN (
               SELECT job_id, id, lease_id, account_id, type, first_position, size, positions, tasks, attempt, suspect, crashes, survived,
                      alone, slots, recorded FROM task_chunks) AS none ON false;
      RETURN;
    END IF;
    IF waiting = 1 THEN
      RETURN QUERY
      WITH free AS MATERIALIZED (
        SELECT c.ctid AS place, c.priority, c.job_id, c.first_position, c.id, CASE WHEN wholes[which] THEN 1 ELSE c.size * tasks_places[which] END AS places,
               job.max_attempts, job.task_timeout_seconds, job.started_at, job.ordered
          FROM task_chunks c CROSS JOIN LATERAL (
            SELECT status, paused, ordered, max_attempts, task_timeout_seconds, started_at FROM job_statuses WHERE id = c.job_id LIMIT 1) AS job
         WHERE c.type = types[which] AND c.account_id = who AND c.state = 'ready' AND NOT (c.suspect AND c.size = 1)
           AND job.status = 'working' AND NOT job.paused
           -- Of a job whose tasks have an order, the first one there is.
           AND (NOT job.ordered OR c.first_position = (SELECT min(first_position) FROM task_chunks WHERE job_id = c.job_id))
         ORDER BY c.priority DESC, c.job_id, c.first_position, c.id
         LIMIT chunks_max FOR UPDATE OF c SKIP LOCKED
      ), placed AS (
        SELECT *, row_number() OVER in_order AS n, sum(places) OVER in_order - places AS before FROM free
        WINDOW in_order AS (ORDER BY priority DESC, job_id, first_position, id ROWS UNBOUNDED PRECEDING)
      ), claimed AS (
        UPDATE task_chunks c
           SET state = 'leased', lease_id = gen_random_uuid(), worker = worker_name, leased_at = clock_timestamp(),
               lease_expires_at = clock_timestamp() + lease_ms * interval '1 millisecond', slots = least(tasks_at_once[which], c.size)
          FROM placed
         WHERE c.ctid = placed.place AND placed.before < places_free AND (NOT lanes[which] OR placed.n <= lanes_free)
        RETURNING placed.n, c.job_id, c.id, c.lease_id, c.account_id, c.type, c.first_position, c.size, c.positions, c.tasks, c.attempt,
                  c.suspect, c.crashes, c.survived, c.alone, c.slots, c.recorded,
                  placed.max_attempts, placed.task_timeout_seconds, placed.started_at::timestamptz, placed.ordered
      )
      SELECT (SELECT count(*)::int FROM free),
             EXISTS (SELECT FROM task_chunks WHERE state = 'ready' AND suspect AND size = 1 AND type = ANY(types)),
             c.job_id, c.id, c.lease_id, c.account_id, c.type, c.first_position, c.size, c.positions, c.tasks, c.attempt, c.suspect,
             c.crashes, c.survived, c.alone, c.slots, c.recorded, c.max_attempts, c.task_timeout_seconds, c.started_at, c.ordered
        FROM claimed c ORDER BY n;
      IF FOUND THEN
        RETURN;
      END IF;
    END IF;
  END IF;
  RETURN QUERY
  SELECT c.candidates, c.suspects, (c.chunk).job_id, (c.chunk).id, (c.chunk).lease_id, (c.chunk).account_id, (c.chunk).type,
         (c.chunk).first_position, (c.chunk).size, (c.chunk).positions, (c.chunk).tasks, (c.chunk).attempt, (c.chunk).suspect,
         (c.chunk).crashes, (c.chunk).survived, (c.chunk).alone, (c.chunk).slots, (c.chunk).recorded,
         c.max_attempts, c.task_timeout_seconds, c.started_at, c.ordered
    FROM claim_chunks(types, lanes, wholes, tasks_places, tasks_at_once, type_limits, account_limit, places_free, lanes_free, chunks_max,
                      lease_ms, worker_name) AS c;
END $$;
